import pytest
import torch
from scipy import stats
from torch import nn

from nines.models.fast_dropout import FastDropout, fast_dropout, use_fast_dropout


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.93])
def test_the_share_of_zeros_is_the_probability(probability: float) -> None:
    torch.manual_seed(1)
    dropped = int((fast_dropout(torch.ones(401, 997), probability) == 0).sum())
    assert stats.binomtest(dropped, 401 * 997, probability).pvalue > 1e-3


def test_what_is_kept_is_scaled_so_that_the_mean_stays() -> None:
    kept = fast_dropout(torch.ones(100_000), 0.25).unique()
    assert kept.tolist() == pytest.approx([0.0, 4 / 3])


def test_neighbours_are_dropped_independently_although_they_share_a_draw() -> None:
    torch.manual_seed(2)
    dropped = (fast_dropout(torch.ones(400_000), 0.3) == 0).view(-1, 4)
    for first in range(4):
        for second in range(first):
            both = int((dropped[:, first] & dropped[:, second]).sum())
            assert stats.binomtest(both, len(dropped), 0.09).pvalue > 1e-3


def test_the_gradient_is_the_mask() -> None:
    values = torch.randn(50, 7, requires_grad=True)
    out = fast_dropout(values, 0.5)
    out.sum().backward()
    assert torch.equal(values.grad * values.detach(), out.detach())  # type: ignore[operator]


def test_the_same_seed_gives_the_same_mask() -> None:
    masks = []
    for _ in range(2):
        torch.manual_seed(5)
        masks.append(fast_dropout(torch.ones(1000), 0.4))
    assert torch.equal(*masks)


def test_odd_sizes_and_bf16_keep_shape_and_dtype() -> None:
    out = fast_dropout(torch.ones(3, 5, 7, dtype=torch.bfloat16), 0.5)
    assert out.shape == (3, 5, 7)
    assert out.dtype == torch.bfloat16


def test_nothing_is_dropped_in_eval_mode_or_at_rate_zero() -> None:
    values = torch.randn(20, 20)
    assert FastDropout(0.9).eval()(values) is values
    assert FastDropout(0.0).train()(values) is values


def test_every_dropout_inside_is_replaced_with_its_rate() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.3), nn.Sequential(nn.Dropout(0.7)))
    use_fast_dropout(model)
    assert [(type(module), module.p) for module in model.modules() if isinstance(module, nn.Dropout)] == [
        (FastDropout, 0.3),
        (FastDropout, 0.7),
    ]
