import numpy as np
import pytest
import torch

from nines.errors import ConfigError
from nines.models.head import ClassifierHead, check_pooling, pool

HIDDEN = torch.tensor([[[1.0, -8.0], [2.0, -6.0], [6.0, -4.0]], [[3.0, -1.0], [5.0, -3.0], [99.0, 99.0]]])
ATTENTION = torch.tensor([[True, True, True], [True, True, False]])
COMPLETION = torch.tensor([[False, True, True], [False, True, False]])


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("cls", [[1, -8], [3, -1]]),
        ("mean", [[3, -6], [4, -2]]),
        ("max", [[6, -4], [5, -1]]),
        ("completion_mean", [[4, -5], [5, -3]]),
        ("completion_last", [[6, -4], [5, -3]]),
    ],
)
def test_pooling_by_hand_worked_numbers_ignores_padding(pooling: str, expected: list[list[float]]) -> None:
    pooled = pool(HIDDEN, check_pooling(pooling), attention_mask=ATTENTION, completion_mask=COMPLETION)
    torch.testing.assert_close(pooled, torch.tensor(expected, dtype=torch.float32))


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_no_mask_means_no_padding(pooling: str) -> None:
    full = torch.ones(2, 3, dtype=torch.bool)
    without = pool(HIDDEN, check_pooling(pooling), attention_mask=None, completion_mask=COMPLETION)
    assert torch.allclose(
        without, pool(HIDDEN, check_pooling(pooling), attention_mask=full, completion_mask=COMPLETION)
    )


def test_a_mean_over_many_bf16_tokens_is_summed_in_float32() -> None:
    hidden = torch.full((1, 3000, 1), 1.0, dtype=torch.bfloat16)  # bf16 cannot count beyond 256
    mask = torch.ones(1, 3000, dtype=torch.bool)
    for attention_mask in (mask, None):
        assert pool(hidden, "mean", attention_mask=attention_mask, completion_mask=mask).item() == 1.0


def test_an_unknown_pooling_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'completion_mean'"):
        check_pooling("completion_men")


def test_the_head_stays_in_float32_under_autocast() -> None:
    head = ClassifierHead(8, hidden=4)
    pooled = torch.randn(5, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = head(pooled)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, head(pooled))


def test_a_linear_head_is_a_dot_product() -> None:
    head = ClassifierHead(8)
    pooled = torch.randn(5, 8)
    expected = pooled.numpy() @ head.output.weight.detach().numpy()[0] + head.output.bias.item()
    np.testing.assert_allclose(head(pooled)[0].detach().numpy(), expected, rtol=1e-5, atol=1e-6)


def test_each_sample_has_a_mask_of_its_own_and_their_mean_comes_near_the_plain_logit() -> None:
    head = ClassifierHead(64, dropout=0.5).train()
    pooled = torch.randn(1, 64)
    logits = head(pooled, 4000)[:, 0].detach()
    assert logits.unique().numel() > 3900
    plain = head.eval()(pooled).item()
    standard_error = logits.std().item() / 4000**0.5
    assert abs(logits.mean().item() - plain) < 4 * standard_error


def test_a_head_without_width_is_refused() -> None:
    with pytest.raises(ConfigError, match="head_hidden=0"):
        ClassifierHead(8, hidden=0)
