"""Threshold moving: the prior shift by Bayes' rule, and what it can and cannot change."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import expit
from scipy.stats import norm
from sklearn.metrics import log_loss, roc_auc_score

from nines.errors import ConfigError
from nines.losses.base import ClassCounts
from nines.losses.none import PlainLoss
from nines.losses.threshold_moving import ThresholdMovingLoss


def moved(target_prior: float, counts: ClassCounts) -> ThresholdMovingLoss:
    loss = ThresholdMovingLoss(target_prior=target_prior)
    loss.prepare(counts)
    return loss


def test_adjusted_score_is_the_posterior_under_the_target_prior() -> None:
    z = np.linspace(-3, 3, 13)
    likelihoods = norm.pdf(z, 1, 1), norm.pdf(z, -1, 1)

    def posterior(prior: float) -> np.ndarray:
        return prior * likelihoods[0] / (prior * likelihoods[0] + (1 - prior) * likelihoods[1])

    trained = torch.from_numpy(np.log(posterior(0.3) / (1 - posterior(0.3))))
    adjusted = moved(0.01, ClassCounts(300, 700)).adjust(trained)
    assert torch.sigmoid(adjusted).numpy() == pytest.approx(posterior(0.01), rel=1e-6)


def test_target_one_half_puts_the_threshold_at_the_training_prior() -> None:
    at_prior = torch.tensor([np.log(0.2 / 0.8)])
    assert torch.sigmoid(moved(0.5, ClassCounts(20, 80)).adjust(at_prior)).item() == pytest.approx(0.5)


def test_training_loss_is_plain_cross_entropy() -> None:
    logits, targets = torch.tensor([0.3, -2.0]), torch.tensor([1.0, 0.2])
    assert torch.equal(moved(0.1, ClassCounts(5, 5))(logits, targets), PlainLoss()(logits, targets))


def test_ranking_stays_and_log_loss_improves_where_the_prior_is_the_target() -> None:
    random = np.random.default_rng(0)
    labels = (random.random(20_000) < 0.02).astype(int)
    z = random.normal(np.where(labels == 1, 1, -1), 1)
    logits = torch.from_numpy(2 * z)  # the true log-odds of a balanced training mixture
    adjusted = moved(0.02, ClassCounts(1000, 1000)).adjust(logits)
    assert roc_auc_score(labels, adjusted, max_fpr=0.1) == roc_auc_score(labels, logits, max_fpr=0.1)
    assert log_loss(labels, expit(adjusted.numpy())) < 0.5 * log_loss(labels, expit(logits.numpy()))


def test_before_preparation_logits_stay_as_they_are() -> None:
    logits = torch.tensor([0.1, -4.0])
    assert torch.equal(ThresholdMovingLoss(target_prior=0.01).adjust(logits), logits)


@pytest.mark.parametrize("prior", [0.0, 1.0, -0.5])
def test_prior_out_of_range_is_refused(prior: float) -> None:
    with pytest.raises(ConfigError, match="target_prior"):
        ThresholdMovingLoss(target_prior=prior)
