"""Asymmetric loss: focusing of its own for each class, and negatives that are easy enough are dropped altogether."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from nines.errors import ConfigError
from nines.losses.base import BinaryLoss


class AsymmetricLoss(BinaryLoss):
    """`-(1 - p)^gamma_positive log p` and `-p_m^gamma_negative log(1 - p_m)`, with `p_m = max(p - margin, 0)`.

    Ridnik et al. 2021, section 2. A negative with p below `margin` has no loss and no gradient. A soft target t mixes
    the two by t and 1 - t. Like focal loss it is not proper: scores rank, but are no probabilities. It needs no class
    counts.

    Args:
        gamma_positive: Focusing of the positive class, at least 0; 0 keeps the gradient of every missed injury.
        gamma_negative: Focusing of the negative class, at least `gamma_positive`; the paper uses 4.
        margin: Probability by which negatives are shifted, in [0, 1); the paper uses 0.05.

    Raises:
        ConfigError: Values out of range, or positives played down more than negatives.
    """

    def __init__(self, *, gamma_positive: float = 0.0, gamma_negative: float = 4.0, margin: float = 0.05) -> None:
        super().__init__()
        if not gamma_positive >= 0:
            raise ConfigError(f"module.loss: gamma_positive must be at least 0, got {gamma_positive}")
        if not gamma_negative >= gamma_positive:
            raise ConfigError(
                f"module.loss: gamma_negative ({gamma_negative}) must be at least gamma_positive ({gamma_positive}); "
                "the other way round the loss plays down the rare class"
            )
        if not 0 <= margin < 1:
            raise ConfigError(f"module.loss: margin is a probability in [0, 1), got {margin}; 1 drops all negatives")
        self.gamma_positive = float(gamma_positive)
        self.gamma_negative = float(gamma_negative)
        self.margin = float(margin)

    def row_losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The asymmetric loss of each row, shape (batch,)."""
        missed = torch.exp(self.gamma_positive * logsigmoid(-logits)) * softplus(-logits)
        return targets * missed + (1 - targets) * self._negative(logits)

    def _negative(self, logits: Tensor) -> Tensor:
        if self.margin == 0:
            return torch.exp(self.gamma_negative * logsigmoid(logits)) * softplus(logits)
        shifted = torch.sigmoid(logits) - self.margin
        hard = shifted > 0
        # A power has no finite gradient at 0, and 0 * inf is NaN: easy rows take another base, and are dropped below.
        focus = torch.where(hard, shifted, 1.0) ** self.gamma_negative
        # log(1 - p + margin) from logarithms, since 1 - p rounds to 0 for a large logit.
        log_margin = torch.full_like(logits, math.log(self.margin))
        surprise = -torch.logaddexp(logsigmoid(-logits), log_margin)
        return torch.where(hard, focus * surprise, 0.0)
