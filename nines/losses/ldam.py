"""Label-distribution-aware margins: the rare class must be right by more; re-weighting waits for the last epochs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from nines.errors import ConfigError
from nines.losses.base import BinaryLoss
from nines.losses.effective_number import check_beta, effective_number_weights


class LDAMLoss(BinaryLoss):
    """Cross-entropy with a margin for each class, `log(1 + exp(-scale (y x - margin_y)))` with y = ±1.

    Cao et al. 2019, section 3.2, for two classes whose logits are x/2 and -x/2: the margin `C / n_y^(1/4)` is taken
    off the true class's side, and C is set so that the rarer class has `max_margin`. A soft target t mixes the two by t
    and 1 - t. From the epoch `defer_until * max_epochs` on (algorithm 1, at the earliest the second epoch) rows are
    weighted by effective numbers, scaled to a mean of 1 over the mixture; before, all weigh the same.

    The paper normalises features and class vectors, so that its logits lie in [-1, 1], and multiplies them by 30. The
    heads here have free logits that grow by themselves: hence scale 1.

    Args:
        max_margin: Margin of the rarer class on the log-odds, above 0; the paper uses 0.5.
        scale: Factor on logits and margins, above 0.
        defer_until: Share of the epochs before re-weighting, in [0, 1]; the paper uses 0.8; 0 re-weights from the start
            and 1 never.
        beta: Of the effective number of samples, in [0, 1); the paper uses 0.9999.

    Raises:
        ConfigError: Values out of range.
    """

    needs_both_classes = True
    reweighting: Tensor

    def __init__(
        self, *, max_margin: float = 0.5, scale: float = 1.0, defer_until: float = 0.8, beta: float = 0.9999
    ) -> None:
        super().__init__()
        if not max_margin > 0:
            raise ConfigError(f"module.loss: max_margin must be above 0, got {max_margin}; without margin use none")
        if not scale > 0:
            raise ConfigError(f"module.loss: scale must be above 0, got {scale}")
        if not 0 <= defer_until <= 1:
            raise ConfigError(f"module.loss: defer_until is a share of the epochs in [0, 1], got {defer_until}")
        check_beta(beta)
        self.max_margin = float(max_margin)
        self.scale = float(scale)
        self.defer_until = float(defer_until)
        self.beta = float(beta)
        # A buffer: a run that is resumed in the middle of an epoch is not told again that the epoch began.
        self.register_buffer("reweighting", torch.tensor(defer_until == 0))

    def begin_epoch(self, epoch: int, max_epochs: int) -> None:
        """Turn re-weighting on from the deferred epoch, and off before it."""
        if self.defer_until == 0:
            first = 0
        elif self.defer_until == 1:
            first = max_epochs
        else:
            first = max(1, int(self.defer_until * max_epochs))
        self.reweighting.fill_(epoch >= first)

    def margins(self) -> tuple[float, float]:
        """Margin of the positive class and margin of the negative class, on the log-odds."""
        counts = self.mixture()
        rarer = min(counts.positives, counts.negatives)
        return (
            self.max_margin * (rarer / counts.positives) ** 0.25,
            self.max_margin * (rarer / counts.negatives) ** 0.25,
        )

    def row_losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of each row, shape (batch,)."""
        positive_margin, negative_margin = self.margins()
        missed = targets * softplus(-self.scale * (logits - positive_margin))
        alarmed = (1 - targets) * softplus(self.scale * (logits + negative_margin))
        positive, negative = effective_number_weights(self.mixture(), beta=self.beta)
        # Chosen on the device: a branch on the buffer would wait for a GPU at every step.
        return torch.where(self.reweighting, positive * missed + negative * alarmed, missed + alarmed)
