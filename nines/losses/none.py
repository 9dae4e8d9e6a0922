"""Plain binary cross-entropy: every row counts the same, the mixture's imbalance stays as it is."""

from __future__ import annotations

from torch import Tensor

from nines.losses.base import BinaryLoss, weighted_cross_entropy


class PlainLoss(BinaryLoss):
    """Binary cross-entropy, `-t log p - (1 - t) log(1 - p)` with `p = sigmoid(x)`.

    A proper scoring rule: at its minimum p is P(positive) in the training mixture. It is the loss to beat, and the one
    that resampling (`datamodule.resampling`) goes with.
    """

    def row_losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The cross-entropy of each row, shape (batch,)."""
        return weighted_cross_entropy(logits, targets, positive=1.0, negative=1.0)
