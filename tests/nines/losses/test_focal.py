"""Focal loss against numbers worked by hand, cross-entropy, and the formula on probabilities."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.special import expit

from nines.errors import ConfigError
from nines.losses.base import ClassCounts
from nines.losses.focal import FocalLoss
from nines.losses.none import PlainLoss


def test_gamma_zero_is_cross_entropy() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 5 * torch.randn(60, generator=generator)
    targets = torch.rand(60, generator=generator)
    assert FocalLoss(gamma=0.0)(logits, targets).item() == pytest.approx(PlainLoss()(logits, targets).item(), rel=1e-6)


def test_one_row_worked_by_hand() -> None:
    # p = 3/4, positive, gamma 2: (1/4)^2 * -log(3/4)
    loss = FocalLoss(gamma=2.0)(torch.tensor([math.log(3.0)]), torch.tensor([1.0]))
    assert loss.item() == pytest.approx(-math.log(0.75) / 16, rel=1e-6)


def test_negative_row_mirrors_the_positive_one() -> None:
    loss = FocalLoss(gamma=2.0)
    assert loss(torch.tensor([1.3]), torch.tensor([1.0])) == loss(torch.tensor([-1.3]), torch.tensor([0.0]))


def test_equals_the_formula_on_probabilities_with_alpha_scaled_to_mean_one() -> None:
    counts, alpha, gamma = ClassCounts(10, 30), 0.8, 1.5
    logits = np.linspace(-4, 4, 21)
    labels = np.arange(21) % 2
    p_true = np.where(labels == 1, expit(logits), expit(-logits))
    weight = np.where(labels == 1, alpha, 1 - alpha) / (0.25 * alpha + 0.75 * (1 - alpha))
    expected = np.mean(-weight * (1 - p_true) ** gamma * np.log(p_true))
    loss = FocalLoss(gamma=gamma, alpha=alpha)
    loss.prepare(counts)
    assert loss(torch.from_numpy(logits), torch.from_numpy(labels).double()).item() == pytest.approx(expected)


@pytest.mark.parametrize("share", [0.03, 0.2, 0.4])
def test_minimum_lies_between_the_true_probability_and_one_half(share: float) -> None:
    """What the docstring says about calibration: not proper, nearer to 1/2, same side."""
    loss = FocalLoss(gamma=2.0)
    found = minimize_scalar(
        lambda x: loss(torch.tensor([x], dtype=torch.float64), torch.tensor([share], dtype=torch.float64)).item(),
        bounds=(-12, 12),
        method="bounded",
        options={"xatol": 1e-6},
    )
    assert share + 0.01 < expit(found.x) < 0.5


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [({"gamma": -1.0}, "gamma"), ({"gamma": math.nan}, "gamma"), ({"alpha": 0.0}, "alpha"), ({"alpha": 1.0}, "alpha")],
)
def test_values_out_of_range_are_refused(arguments: dict[str, float], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        FocalLoss(**arguments)
