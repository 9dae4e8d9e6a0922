"""The classifier of completions that Lightning trains: a pair encoder, a loss for imbalance, clipping, an optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from lightning_modules.pair_module import NO_CLIPPING, PairModule
from lightning_modules.validation_metrics import METRICS, classification_metrics
from nines.building import build
from nines.losses.base import BinaryLoss
from nines.losses.r_drop import r_drop_penalty

PLAIN_LOSS = {"_target_": "nines.losses.none.PlainLoss"}


class CompletionClassifier(PairModule):
    """P(injurious) of a completion, given its prompt.

    Every argument is plain data, so that a checkpoint can be loaded without any configuration:
    `CompletionClassifier.load_from_checkpoint(path)`.

    Args:
        model: Fields of `nines.models.classifier.PairClassifierOptions`: source, pooling, head, frozen layers,
            `max_tokens` (longest pair in tokens) and `trunk_cache` (compute the outputs of frozen layers once and keep
            them on disk).
        loss: Specification of a `nines.losses.base.BinaryLoss`; plain cross-entropy by default.
        clipping: Specification of a `nines.clipping.base.GradientClipping`; none by default.
        dropout: Arguments of `nines.models.dropout.DropoutOptions`.
        optimizer: Arguments of `lightning_modules.optimizers.OptimizerOptions`.
        deferred: Build the model in `configure_model`, where a strategy that shares out parameters can do so while they
            load (ZeRO-3), instead of now. The weights are the same. No part of a checkpoint.

    Raises:
        ConfigError: Arguments that contradict each other.
    """

    # What `objective` may name: the figures that each validation logs.
    objectives: ClassVar[tuple[str, ...]] = tuple(f"valid/{name}" for name in METRICS)

    def __init__(
        self,
        *,
        model: Mapping[str, Any],
        loss: Mapping[str, Any] = PLAIN_LOSS,
        clipping: Mapping[str, Any] = NO_CLIPPING,
        dropout: Mapping[str, Any] | None = None,
        optimizer: Mapping[str, Any] | None = None,
        deferred: bool = False,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["deferred"])
        self.take_options(model=model, clipping=clipping, dropout=dropout, optimizer=optimizer, deferred=deferred)
        self.loss: BinaryLoss = build(loss, kind=BinaryLoss)

    def prepare_loss(self) -> None:
        """Hand the loss the mixture's class counts."""
        self.loss.prepare(self.data.class_counts())

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Calibrated by nothing but the loss: P(injurious), shape (batch,), in float64."""
        return torch.sigmoid(self.loss.adjust(self.model(batch).float()).double())

    def on_train_epoch_start(self) -> None:
        """Tell the loss the epoch: deferred re-weighting depends on it."""
        epochs = self.trainer.max_epochs or -1
        self.loss.begin_epoch(self.current_epoch, epochs if epochs > 0 else self.current_epoch + 1)

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> Tensor:
        """The loss over all dropout samples, plus the consistency penalty of R-Drop where it is asked for."""
        target, weight = batch["target"], batch["weight"]
        samples = self.model.sample_logits(batch)
        loss = torch.stack([self.loss(logits, target, weight) for logits in samples]).mean()
        self.log("train/loss", loss, prog_bar=True)
        if self.dropout_options.r_drop > 0:
            again = self.model.sample_logits(batch)
            penalty = r_drop_penalty(samples.flatten(), again.flatten())
            second = torch.stack([self.loss(logits, target, weight) for logits in again]).mean()
            self.log("train/r_drop", penalty)
            loss = 0.5 * (loss + second) + self.dropout_options.r_drop * penalty
        return self.over_ranks(loss, batch)

    def judge(self, split: str) -> None:
        """Log what a sweep may optimise, the same for each test set."""
        metrics = classification_metrics(self.gathered_scores(split), self.data.rows(split).labels)
        # No reduction over ranks: each has the scores of all.
        self.log_dict({f"{split}/{name}": value for name, value in metrics.items()}, rank_zero_only=False)
