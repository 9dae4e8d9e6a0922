"""Threshold moving: train as if nothing were skewed, and move the logits to another prior at prediction."""

from __future__ import annotations

import math

from torch import Tensor

from nines.errors import ConfigError
from nines.losses.base import BinaryLoss, weighted_cross_entropy


class ThresholdMovingLoss(BinaryLoss):
    """Cross-entropy in training; at prediction `x - log_odds(training prior) + log_odds(target_prior)`.

    Elkan 2001, theorem 2, in log-odds: the posterior under another prior, if only the prior changes. With target prior
    0.5 the threshold 0.5 of the moved score is the threshold at the training prior that Collell et al. 2018
    move to; Zhou and Liu 2006 do the same with costs in place of priors.

    The shift is the same for all rows, so it is monotone: AUROC, partial AUC, average precision, and the false negative
    rate at the threshold of a given false positive rate cannot change. Log loss, calibration and decisions at a fixed
    threshold do. Until `prepare` is called the training prior is unknown and logits stay as they are.

    Args:
        target_prior: P(positive) where predictions will be used, in (0, 1).

    Raises:
        ConfigError: target_prior outside (0, 1).
    """

    needs_both_classes = True

    def __init__(self, *, target_prior: float = 0.5) -> None:
        super().__init__()
        if not 0 < target_prior < 1:
            raise ConfigError(
                f"module.loss: target_prior must lie in (0, 1), got {target_prior}; at 0 or 1 all decisions are made"
            )
        self.target_prior = float(target_prior)

    def row_losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The cross-entropy of each row, shape (batch,)."""
        return weighted_cross_entropy(logits, targets, positive=1.0, negative=1.0)

    def adjust(self, logits: Tensor) -> Tensor:
        """Logits under the target prior, of the same shape."""
        if not self.prepared:
            return logits
        target_log_odds = math.log(self.target_prior) - math.log1p(-self.target_prior)
        return logits + (target_log_odds - self.mixture().log_odds)
