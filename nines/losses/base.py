"""What every loss for imbalanced binary classification shares: class counts, precision, and the mean over rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from nines.errors import DataError


@dataclass(frozen=True)
class ClassCounts:
    """How many rows of each class the training mixture holds.

    Attributes:
        positives: Injurious rows, not negative; a soft label of 0.3 counts as 0.3 of a row here and 0.7 below.
        negatives: Safe rows, not negative.

    Raises:
        DataError: A count that is negative or not finite, or no row at all.
    """

    positives: float
    negatives: float

    def __post_init__(self) -> None:
        for name, count in (("injurious", self.positives), ("safe", self.negatives)):
            if not (math.isfinite(count) and count >= 0):
                raise DataError(f"the training mixture cannot hold {count} {name} rows")
        if self.total == 0:
            raise DataError("the training mixture holds no rows; check datamodule.sources and datamodule.mixture")

    @property
    def total(self) -> float:
        """Rows of both classes together."""
        return self.positives + self.negatives

    @property
    def prior(self) -> float:
        """Share of injurious rows, in [0, 1]."""
        return self.positives / self.total

    @property
    def log_odds(self) -> float:
        """log(prior / (1 - prior)); infinite when a class is missing."""
        if min(self.positives, self.negatives) == 0:
            return math.inf if self.positives else -math.inf
        return math.log(self.positives) - math.log(self.negatives)


class BinaryLoss(nn.Module):
    """A loss over logits of the positive class. Subclasses define `row_losses`, or `batch_loss` if rows interact.

    The mean over a batch is `sum(weights * losses) / batch`: dividing by the rows, not by the sum of their weights,
    makes the gradient of a batch an unbiased estimate of the whole mixture's, whatever the ranks and the accumulation.
    So weights should have mean 1 over the training mixture. Everything is computed in float32 or wider, also under
    autocast.

    Attributes:
        needs_both_classes: Whether `prepare` refuses a mixture that lacks a class, since a weight would be infinite.
    """

    needs_both_classes = False
    counts: Tensor

    def __init__(self) -> None:
        super().__init__()
        # A buffer, so that a checkpoint knows the mixture that it was trained on. NaN says: not prepared yet.
        self.register_buffer("counts", torch.full((2,), math.nan))
        self._class_counts: ClassCounts | None = None

    def prepare(self, counts: ClassCounts) -> None:
        """Take the class counts of the training mixture; called once before a fit, again when it is resumed.

        Raises:
            DataError: The mixture lacks a class, and this loss needs both.
        """
        if self.needs_both_classes and min(counts.positives, counts.negatives) == 0:
            missing = "injurious" if counts.positives == 0 else "safe"
            raise DataError(
                f"{type(self).__name__} needs rows of both classes, and the training mixture holds no {missing} row; "
                "check datamodule.sources and datamodule.mixture, or use imbalance=none"
            )
        self.counts.copy_(torch.tensor([counts.positives, counts.negatives]))
        self._class_counts = None

    def begin_epoch(self, epoch: int, max_epochs: int) -> None:
        """Learn that epoch `epoch` of 0 … `max_epochs - 1` begins. Most losses stay the same throughout."""

    def forward(self, logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """The mean loss of a batch.

        Args:
            logits: Log-odds of the positive class, shape (batch,), of any floating type.
            targets: P(positive), shape (batch,), in [0, 1]; 0 and 1 for hard labels.
            weights: Weight of each row, shape (batch,), not negative, of mean 1 over the mixture; None means 1.

        Returns:
            A scalar, in float32 or wider.

        Raises:
            ValueError: Shapes that differ or are not (batch,).
        """
        if logits.ndim != 1 or logits.shape != targets.shape or (weights is not None and weights.shape != logits.shape):
            shapes = [None if tensor is None else tuple(tensor.shape) for tensor in (logits, targets, weights)]
            raise ValueError(f"logits, targets and weights must all be (batch,), got {shapes}")
        precision = torch.promote_types(logits.dtype, torch.float32)
        with torch.autocast(device_type=logits.device.type, enabled=False):
            wide = logits.to(precision)
            row_weights = torch.ones_like(wide) if weights is None else weights.to(precision)
            return self.batch_loss(wide, targets.to(precision), row_weights)

    def batch_loss(self, logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """The mean loss of a batch, all arguments of shape (batch,) and of one type, float32 or wider."""
        return (weights * self.row_losses(logits, targets)).mean()

    def row_losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of each row, shape (batch,)."""
        raise NotImplementedError

    def adjust(self, logits: Tensor) -> Tensor:
        """Logits for prediction, from the model's logits of the same shape; the same unless a subclass moves them."""
        return logits

    def mixture(self) -> ClassCounts:
        """The class counts that `prepare` took, or that a checkpoint brought.

        Raises:
            RuntimeError: Neither has happened.
        """
        if self._class_counts is None:  # read once: on a GPU each reading waits for the device
            positives, negatives = self.counts.tolist()
            if math.isnan(positives):
                raise RuntimeError(f"{type(self).__name__}.prepare(counts) must be called before the first batch")
            self._class_counts = ClassCounts(positives, negatives)
        return self._class_counts

    @property
    def prepared(self) -> bool:
        """Whether the class counts are known."""
        return self._class_counts is not None or not bool(torch.isnan(self.counts).any())

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *arguments: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *arguments)
        self._class_counts = None


def weighted_cross_entropy(logits: Tensor, targets: Tensor, *, positive: float, negative: float) -> Tensor:
    """Cross-entropy of each row with a weight for each class.

    `positive * t * log(1 + exp(-x)) + negative * (1 - t) * log(1 + exp(x))`: linear in a soft target t, so that a row
    with t = 0.3 is worth 0.3 of an injurious row and 0.7 of a safe one.

    Args:
        logits: Log-odds x, shape (batch,).
        targets: P(positive) t, shape (batch,), in [0, 1].
        positive: Weight of the positive class.
        negative: Weight of the negative class.

    Returns:
        Shape (batch,).
    """
    return positive * targets * softplus(-logits) + negative * (1 - targets) * softplus(logits)


def unit_mean_weights(counts: ClassCounts, *, positive: float, negative: float) -> tuple[float, float]:
    """Class weights in the ratio `positive : negative`, scaled so that the mean weight over the mixture is 1.

    Without this a strategy would also change the size of the step that a learning rate means.

    Returns:
        Weight of the positive class and weight of the negative class.
    """
    mean = (counts.positives * positive + counts.negatives * negative) / counts.total
    return positive / mean, negative / mean
