"""Logit adjustment: training logits carry the prior, so that the model itself learns the balanced log-odds."""

from __future__ import annotations

from torch import Tensor

from nines.errors import ConfigError
from nines.losses.base import BinaryLoss, weighted_cross_entropy


class LogitAdjustmentLoss(BinaryLoss):
    """Cross-entropy of `x + tau log(prior / (1 - prior))` (Menon et al. 2021, eq. 10, for two classes).

    The pair-wise margin of the softmax form, `tau log(prior_y' / prior_y)`, is the log-odds of the prior here. With
    tau 1 the minimum is `x = log P(text | positive) - log P(text | negative)`, and its threshold 0 minimises the mean
    of the two classes' error rates. Prediction uses x as it is, so probabilities are those of a balanced world: too
    high where the positive class is rare.

    Args:
        tau: Strength, above 0; 1 is the consistent one, 0 would be the plain loss.

    Raises:
        ConfigError: tau is not above 0.
    """

    needs_both_classes = True

    def __init__(self, *, tau: float = 1.0) -> None:
        super().__init__()
        if not tau > 0:
            raise ConfigError(f"module.loss: tau must be above 0, got {tau}; 0 is the plain loss, imbalance=none")
        self.tau = float(tau)

    def row_losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The cross-entropy of each row's adjusted logit, shape (batch,)."""
        return weighted_cross_entropy(logits + self.tau * self.mixture().log_odds, targets, positive=1.0, negative=1.0)
