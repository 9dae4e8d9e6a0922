"""Inverse frequency weights against scikit-learn's balanced weights."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight

from nines.errors import ConfigError
from nines.losses.base import ClassCounts
from nines.losses.inverse_frequency import InverseFrequencyLoss
from nines.losses.none import PlainLoss

LABELS = np.array([1.0] * 3 + [0.0] * 17)


def test_weights_are_scikit_learns_balanced_ones() -> None:
    loss = InverseFrequencyLoss()
    loss.prepare(ClassCounts(3, 17))
    negative, positive = compute_class_weight("balanced", classes=np.array([0.0, 1.0]), y=LABELS)
    assert loss.class_weights() == pytest.approx((positive, negative))


def test_loss_over_the_mixture_equals_scikit_learns_with_balanced_sample_weights() -> None:
    logits = torch.randn(20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    loss = InverseFrequencyLoss()
    loss.prepare(ClassCounts(3, 17))
    expected = log_loss(LABELS, torch.sigmoid(logits).numpy(), sample_weight=compute_sample_weight("balanced", LABELS))
    assert loss(logits, torch.from_numpy(LABELS)).item() == pytest.approx(expected, rel=1e-10)


def test_half_power_gives_square_root_weights() -> None:
    loss = InverseFrequencyLoss(power=0.5)
    loss.prepare(ClassCounts(4, 100))
    positive, negative = loss.class_weights()
    assert positive / negative == pytest.approx(math.sqrt(100 / 4))
    assert (4 * positive + 100 * negative) / 104 == pytest.approx(1.0)


def test_power_zero_is_the_plain_loss() -> None:
    logits, targets = torch.tensor([0.3, -2.0]), torch.tensor([1.0, 0.0])
    loss = InverseFrequencyLoss(power=0.0)
    loss.prepare(ClassCounts(4, 100))
    assert torch.equal(loss(logits, targets), PlainLoss()(logits, targets))


def test_constant_score_that_minimises_the_loss_is_one_half() -> None:
    loss = InverseFrequencyLoss()
    loss.prepare(ClassCounts(3, 17))
    logit = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    loss(logit.expand(20), torch.from_numpy(LABELS)).backward()
    assert logit.grad.item() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("power", [-0.1, 1.1, math.nan])
def test_power_outside_its_range_is_refused(power: float) -> None:
    with pytest.raises(ConfigError, match=r"power must lie in \[0, 1\]"):
        InverseFrequencyLoss(power=power)
