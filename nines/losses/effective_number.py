"""Cross-entropy with class weights from the effective number of samples, which grows more slowly than the count."""

from __future__ import annotations

import math

from torch import Tensor

from nines.errors import ConfigError
from nines.losses.base import BinaryLoss, ClassCounts, unit_mean_weights, weighted_cross_entropy


def effective_number(count: float, *, beta: float) -> float:
    """The expected volume that `count` samples cover: `(1 - beta^n) / (1 - beta)` (Cui et al. 2019, proposition 1).

    Args:
        count: Number of samples n, above 0; soft labels make it fractional.
        beta: Chance that a new sample overlaps an old one, in [0, 1).

    Returns:
        At least min(count, 1), at most max(count, 1), and always below 1 / (1 - beta).
    """
    if beta == 0:
        return 1.0
    # expm1 and log keep the digits that 1 - beta^n loses for beta near 1.
    return -math.expm1(count * math.log(beta)) / (1 - beta)


def effective_number_weights(counts: ClassCounts, *, beta: float) -> tuple[float, float]:
    """Class weights in inverse proportion to the effective numbers, scaled to a mean of 1 over the mixture.

    Cui et al. scale their weights to sum up to the number of classes; the ratio is the same.

    Returns:
        Weight of the positive class and weight of the negative class.
    """
    return unit_mean_weights(
        counts,
        positive=1 / effective_number(counts.positives, beta=beta),
        negative=1 / effective_number(counts.negatives, beta=beta),
    )


def check_beta(beta: float) -> None:
    """Raise ConfigError unless beta lies in [0, 1)."""
    if not 0 <= beta < 1:
        raise ConfigError(
            f"module.loss: beta must lie in [0, 1), got {beta}; its limit 1 is inverse frequency, "
            "which is imbalance=inverse_frequency"
        )


class EffectiveNumberLoss(BinaryLoss):
    """Class-balanced cross-entropy (Cui et al. 2019, section 4, with the sigmoid loss).

    `w_c` is proportional to `(1 - beta) / (1 - beta^n_c)`. With beta 0 all weights are 1, towards 1 they become inverse
    frequencies; a class with many more than `1 / (1 - beta)` rows counts as if it had just so many.

    Args:
        beta: In [0, 1); useful from 0.99 (one hundred rows tell nearly all) to 0.9999.

    Raises:
        ConfigError: beta outside [0, 1).
    """

    needs_both_classes = True

    def __init__(self, *, beta: float = 0.999) -> None:
        super().__init__()
        check_beta(beta)
        self.beta = float(beta)

    def row_losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The weighted cross-entropy of each row, shape (batch,)."""
        positive, negative = effective_number_weights(self.mixture(), beta=self.beta)
        return weighted_cross_entropy(logits, targets, positive=positive, negative=negative)
