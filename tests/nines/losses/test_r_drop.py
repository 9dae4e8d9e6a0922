"""The R-Drop penalty against torch's and scipy's Kullback-Leibler divergence."""

from __future__ import annotations

import pytest
import torch
from scipy.special import rel_entr
from torch.distributions import Bernoulli, kl_divergence

from nines.losses.r_drop import r_drop_penalty

GENERATOR = torch.Generator().manual_seed(0)
FIRST = 3 * torch.randn(30, generator=GENERATOR, dtype=torch.float64)
SECOND = 3 * torch.randn(30, generator=GENERATOR, dtype=torch.float64)


def test_equals_torchs_divergence_of_two_bernoulli_distributions() -> None:
    p, q = Bernoulli(logits=FIRST), Bernoulli(logits=SECOND)
    expected = (0.5 * (kl_divergence(p, q) + kl_divergence(q, p))).mean()
    assert r_drop_penalty(FIRST, SECOND).item() == pytest.approx(expected.item(), rel=1e-10)


def test_one_row_equals_scipys_relative_entropy() -> None:
    p, q = 0.9, 0.4
    expected = 0.5 * sum(rel_entr(a, b) + rel_entr(b, a) for a, b in ((p, q), (1 - p, 1 - q)))
    logits = [torch.tensor([value]).logit() for value in (p, q)]
    assert r_drop_penalty(*logits).item() == pytest.approx(expected, rel=1e-5)


def test_is_symmetric_and_zero_only_for_equal_passes() -> None:
    assert r_drop_penalty(FIRST, SECOND) == r_drop_penalty(SECOND, FIRST)
    assert r_drop_penalty(FIRST, FIRST) == 0
    assert r_drop_penalty(FIRST, SECOND) > 0


def test_gradient_equals_finite_differences_in_both_passes() -> None:
    inputs = (FIRST.clone().requires_grad_(), SECOND.clone().requires_grad_())
    assert torch.autograd.gradcheck(r_drop_penalty, inputs)


def test_extreme_logits_stay_finite() -> None:
    first = torch.tensor([1e4, -1e4, 88.0], requires_grad=True)
    value = r_drop_penalty(first, torch.tensor([-1e4, -1e4, 90.0]))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(first.grad).all()


def test_bf16_passes_are_compared_in_float32() -> None:
    assert r_drop_penalty(FIRST.bfloat16(), SECOND.bfloat16()).dtype == torch.float32


def test_passes_over_different_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="same rows"):
        r_drop_penalty(torch.zeros(2), torch.zeros(3))
