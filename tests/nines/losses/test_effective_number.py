"""Effective numbers against the geometric series that defines them."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch

from nines.errors import ConfigError
from nines.losses.base import ClassCounts
from nines.losses.effective_number import EffectiveNumberLoss, effective_number, effective_number_weights
from nines.losses.inverse_frequency import InverseFrequencyLoss
from nines.losses.none import PlainLoss


@pytest.mark.parametrize(("count", "beta"), [(1, 0.9), (7, 0.5), (53, 0.99), (3006, 0.999)])
def test_effective_number_is_the_sum_of_the_geometric_series(count: int, beta: float) -> None:
    assert effective_number(count, beta=beta) == pytest.approx(math.fsum(beta**j for j in range(count)), rel=1e-12)


def test_effective_number_keeps_its_digits_for_beta_near_one() -> None:
    beta = Fraction(1) - Fraction(1, 10**9)
    exact = float((1 - beta**50) / (1 - beta))
    assert effective_number(50, beta=1 - 1e-9) == pytest.approx(exact, rel=1e-7)


def test_weights_worked_by_hand() -> None:
    # beta = 1/2: E(1) = 1, E(2) = 3/2. Ratio 3 : 2; mean (1 * 3 + 2 * 2) / 3 = 7/3, so 9/7 and 6/7.
    assert effective_number_weights(ClassCounts(1, 2), beta=0.5) == pytest.approx((9 / 7, 6 / 7))


def test_beta_zero_is_the_plain_loss() -> None:
    logits, targets = torch.tensor([0.4, -1.5]), torch.tensor([1.0, 0.0])
    loss = EffectiveNumberLoss(beta=0.0)
    loss.prepare(ClassCounts(5, 500))
    assert loss(logits, targets).item() == pytest.approx(PlainLoss()(logits, targets).item(), rel=1e-6)


def test_beta_towards_one_becomes_inverse_frequency() -> None:
    balanced = InverseFrequencyLoss()
    balanced.prepare(ClassCounts(53, 1490))
    weights = effective_number_weights(ClassCounts(53, 1490), beta=1 - 1e-9)
    assert weights == pytest.approx(balanced.class_weights(), rel=1e-4)


def test_loss_applies_the_weights_by_class() -> None:
    loss = EffectiveNumberLoss(beta=0.5)
    loss.prepare(ClassCounts(1, 2))
    # Logit 0 costs log 2 whatever the class: the positive row weighs 9/7, the negative one 6/7.
    expected = math.log(2) * (9 / 7 + 6 / 7) / 2
    assert loss(torch.zeros(2), torch.tensor([1.0, 0.0])).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("beta", [-0.1, 1.0, 1.5, math.nan])
def test_beta_outside_its_range_is_refused(beta: float) -> None:
    with pytest.raises(ConfigError, match=r"beta must lie in \[0, 1\)"):
        EffectiveNumberLoss(beta=beta)
