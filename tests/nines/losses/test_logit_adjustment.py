"""Logit adjustment: its formula, and that its minimum is the balanced log-odds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from nines.errors import ConfigError
from nines.losses.base import ClassCounts
from nines.losses.logit_adjustment import LogitAdjustmentLoss
from nines.losses.none import PlainLoss


@pytest.mark.parametrize("tau", [0.5, 1.0, 2.0])
def test_equals_the_softmax_form_for_two_classes(tau: float) -> None:
    counts = ClassCounts(30, 970)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(40, generator=generator, dtype=torch.float64)
    labels = torch.arange(40) % 2
    log_priors = torch.log(torch.tensor([0.97, 0.03], dtype=torch.float64))
    two_classes = torch.stack([torch.zeros_like(logits), logits], dim=1) + tau * log_priors
    loss = LogitAdjustmentLoss(tau=tau)
    loss.prepare(counts)
    assert loss(logits, labels.double()).item() == pytest.approx(cross_entropy(two_classes, labels).item(), rel=1e-9)


def test_minimum_is_the_log_likelihood_ratio_whatever_the_prior() -> None:
    """Two Gaussians at ±1 with variance 1: log N(z; 1, 1) / N(z; -1, 1) = 2 z, without an intercept for the prior."""
    positives, negatives = 0.02, 0.98
    z = torch.linspace(-8, 8, 1601, dtype=torch.float64)
    density = torch.stack([negatives * torch.exp(-((z + 1) ** 2) / 2), positives * torch.exp(-((z - 1) ** 2) / 2)])
    mass = density.sum(0)
    targets, weights = density[1] / mass, len(z) * mass / mass.sum()
    loss = LogitAdjustmentLoss()
    loss.prepare(ClassCounts(positives, negatives))
    line = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([line], lr=1.0, max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        value = loss(line[0] * z + line[1], targets, weights)
        value.backward()
        return value

    optimizer.step(closure)
    assert line.detach().numpy() == pytest.approx(np.array([2.0, 0.0]), abs=2e-3)


def test_balanced_mixture_makes_it_the_plain_loss() -> None:
    logits, targets = torch.tensor([0.4, -1.0]), torch.tensor([1.0, 0.0])
    loss = LogitAdjustmentLoss()
    loss.prepare(ClassCounts(70, 70))
    assert torch.equal(loss(logits, targets), PlainLoss()(logits, targets))


def test_prediction_uses_the_logits_as_they_are() -> None:
    loss = LogitAdjustmentLoss()
    loss.prepare(ClassCounts(1, 99))
    assert torch.equal(loss.adjust(torch.tensor([0.7])), torch.tensor([0.7]))


@pytest.mark.parametrize("tau", [0.0, -1.0, math.nan])
def test_tau_out_of_range_is_refused(tau: float) -> None:
    with pytest.raises(ConfigError, match="tau must be above 0"):
        LogitAdjustmentLoss(tau=tau)
