from __future__ import annotations

import pytest
import torch

from nines.errors import ConfigError
from nines.models.token_log_probs import log_probs_of


def problem(tokens: int = 7) -> tuple[torch.Tensor, torch.Tensor, torch.nn.Linear]:
    torch.manual_seed(0)
    return torch.randn(tokens, 5, requires_grad=True), torch.randint(0, 11, (tokens,)), torch.nn.Linear(5, 11)


@pytest.mark.parametrize("most_logits", [1, 22, 1000])
def test_chunks_of_any_size_give_the_plain_log_softmax_and_its_gradients(most_logits: int) -> None:
    hidden, targets, head = problem()
    plain = torch.log_softmax(head(hidden) / 0.7, dim=1).gather(1, targets[:, None]).squeeze(1)
    expected = torch.autograd.grad(plain.square().sum(), [hidden, *head.parameters()])
    found = log_probs_of(hidden, targets, head=head, vocabulary=11, temperature=0.7, most_logits=most_logits)
    torch.testing.assert_close(found, plain)
    gradients = torch.autograd.grad(found.square().sum(), [hidden, *head.parameters()])
    for gradient, wanted in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, wanted)


def test_no_more_logits_exist_at_once_than_allowed() -> None:
    hidden, targets, head = problem()
    sizes: list[int] = []
    head.register_forward_hook(lambda module, inputs, output: sizes.append(output.numel()))
    log_probs_of(hidden, targets, head=head, vocabulary=11, most_logits=25)
    assert sizes == [22, 22, 22, 11]


def test_logits_in_half_precision_are_normalised_in_float32() -> None:
    hidden, targets, head = problem()
    found = log_probs_of(hidden.bfloat16(), targets, head=head.bfloat16(), vocabulary=11)
    assert found.dtype == torch.float32


def test_no_token_has_no_probability_but_still_a_graph() -> None:
    hidden, targets, head = problem(0)
    found = log_probs_of(hidden, targets, head=head, vocabulary=11)
    assert found.shape == (0,)
    found.sum().backward()
    assert head.weight.grad is not None
    assert not head.weight.grad.any()


def test_a_temperature_of_zero_is_refused() -> None:
    hidden, targets, head = problem()
    with pytest.raises(ConfigError, match="above 0"):
        log_probs_of(hidden, targets, head=head, vocabulary=11, temperature=0)
