"""Plain cross-entropy against torch, soft targets included."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from nines.losses.none import PlainLoss


def test_equals_torch_with_soft_targets_and_weights() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(50, generator=generator, dtype=torch.float64)
    targets = torch.rand(50, generator=generator, dtype=torch.float64)
    weights = torch.rand(50, generator=generator, dtype=torch.float64)
    expected = binary_cross_entropy_with_logits(logits, targets, weight=weights)
    assert PlainLoss()(logits, targets, weights).item() == pytest.approx(expected.item(), rel=1e-12)


def test_two_rows_worked_by_hand() -> None:
    # p = 3/4 for the positive row, p = 1/5 for the negative one: -(log 3/4 + log 4/5) / 2 = -log(3/5) / 2
    logits = torch.tensor([math.log(3.0), math.log(0.25)])
    assert PlainLoss()(logits, torch.tensor([1.0, 0.0])).item() == pytest.approx(-math.log(0.6) / 2, rel=1e-6)


def test_prediction_uses_the_logits_as_they_are() -> None:
    logits = torch.tensor([-1.0, 2.0])
    assert torch.equal(PlainLoss().adjust(logits), logits)
