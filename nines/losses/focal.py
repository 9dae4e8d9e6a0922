"""Focal loss: rows that are already right count less, so that the many easy ones do not drown the few hard ones."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from nines.errors import ConfigError
from nines.losses.base import BinaryLoss, unit_mean_weights


class FocalLoss(BinaryLoss):
    """`-alpha_t (1 - p_t)^gamma log p_t` (Lin et al. 2017, eq. 5).

    `p_t` is the probability of the true class. A soft target t mixes the losses of both classes by t and 1 - t. Focal
    loss is not proper for gamma above 0 (Charoenphakdee et al. 2021): its minimum is another number than P(positive),
    nearer to 1/2, but keeps the order. Scores rank as they are; to read them as probabilities, calibrate them.

    Args:
        gamma: How strongly sure rows are played down, at least 0; 0 is cross-entropy, 2 the paper's choice.
        alpha: Weight of the positive class in (0, 1), with 1 - alpha for the negative; only the ratio counts, since
            both are scaled to a mean of 1 over the mixture. None weighs both classes the same.

    Raises:
        ConfigError: gamma below 0, or alpha outside (0, 1).
    """

    def __init__(self, *, gamma: float = 2.0, alpha: float | None = None) -> None:
        super().__init__()
        if not gamma >= 0:
            raise ConfigError(f"module.loss: gamma must be at least 0, got {gamma}; below 0 easy rows would count more")
        if alpha is not None and not 0 < alpha < 1:
            raise ConfigError(
                f"module.loss: alpha must lie in (0, 1) or be null, got {alpha}; 0 and 1 would silence a class"
            )
        self.gamma = float(gamma)
        self.alpha = alpha

    def class_weights(self) -> tuple[float, float]:
        """Weight of the positive class and weight of the negative class."""
        if self.alpha is None:
            return 1.0, 1.0
        return unit_mean_weights(self.mixture(), positive=self.alpha, negative=1 - self.alpha)

    def row_losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The focal loss of each row, shape (batch,)."""
        positive, negative = self.class_weights()
        # (1 - p)^gamma as exp(gamma log(1 - p)): the power has no finite gradient where 1 - p rounds to 0.
        missed = torch.exp(self.gamma * logsigmoid(-logits)) * softplus(-logits)
        alarmed = torch.exp(self.gamma * logsigmoid(logits)) * softplus(logits)
        return positive * targets * missed + negative * (1 - targets) * alarmed
