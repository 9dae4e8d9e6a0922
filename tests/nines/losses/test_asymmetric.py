"""Asymmetric loss against its formula on probabilities."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import expit

from nines.errors import ConfigError
from nines.losses.asymmetric import AsymmetricLoss
from nines.losses.focal import FocalLoss
from nines.losses.none import PlainLoss


@pytest.mark.parametrize("margin", [0.0, 0.05, 0.3])
@pytest.mark.parametrize("gammas", [(0.0, 0.0), (0.0, 4.0), (1.0, 2.5)])
def test_equals_the_formula_on_probabilities(margin: float, gammas: tuple[float, float]) -> None:
    gamma_positive, gamma_negative = gammas
    logits = np.linspace(-6, 6, 41)
    p = expit(logits)
    shifted = np.maximum(p - margin, 0)
    positive = -((1 - p) ** gamma_positive) * np.log(p)
    negative = -(shifted**gamma_negative) * np.log(1 - shifted)
    loss = AsymmetricLoss(gamma_positive=gamma_positive, gamma_negative=gamma_negative, margin=margin)
    x = torch.from_numpy(logits)
    assert loss.row_losses(x, torch.ones(41)).numpy() == pytest.approx(positive, rel=1e-9, abs=1e-12)
    assert loss.row_losses(x, torch.zeros(41)).numpy() == pytest.approx(negative, rel=1e-9, abs=1e-12)


def test_easy_negatives_have_no_loss_and_no_gradient() -> None:
    logits = torch.tensor([math.log(0.04 / 0.96), -10.0], requires_grad=True)  # p = 0.04 and less, margin 0.05
    loss = AsymmetricLoss(margin=0.05)(logits, torch.zeros(2))
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(logits.grad, torch.zeros(2))


def test_fractional_focus_has_a_finite_gradient_at_the_margin() -> None:
    logits = torch.tensor([0.0], requires_grad=True)  # p - margin is exactly 0
    AsymmetricLoss(gamma_negative=0.5, margin=0.5)(logits, torch.zeros(1)).backward()
    assert torch.isfinite(logits.grad).all()


def test_without_margin_and_with_equal_focus_it_is_focal_loss() -> None:
    logits = torch.linspace(-5, 5, 20)
    targets = torch.linspace(0, 1, 20)
    asymmetric = AsymmetricLoss(gamma_positive=2.0, gamma_negative=2.0, margin=0.0)
    assert torch.allclose(asymmetric(logits, targets), FocalLoss(gamma=2.0)(logits, targets))


def test_without_margin_and_focus_it_is_the_plain_loss() -> None:
    logits = torch.linspace(-5, 5, 20)
    targets = torch.linspace(0, 1, 20)
    asymmetric = AsymmetricLoss(gamma_positive=0.0, gamma_negative=0.0, margin=0.0)
    assert torch.allclose(asymmetric(logits, targets), PlainLoss()(logits, targets))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"gamma_positive": -1.0}, "gamma_positive must be at least 0"),
        ({"gamma_positive": 2.0, "gamma_negative": 1.0}, "plays down the rare class"),
        ({"margin": 1.0}, "margin"),
        ({"margin": -0.1}, "margin"),
    ],
)
def test_values_out_of_range_are_refused(arguments: dict[str, float], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        AsymmetricLoss(**arguments)
