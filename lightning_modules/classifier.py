"""The classifier of completions that Lightning trains: a pair encoder, a loss for imbalance, clipping, an optimizer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_modules.clipped_training import ClippedTraining
from lightning_modules.frozen_weights import leave_out_frozen, put_back_frozen
from lightning_modules.fsdp import FullySharded, shard
from lightning_modules.optimizers import OptimizerOptions, build_optimizer, build_schedule, total_optimizer_steps
from lightning_modules.shares import is_shared_out
from lightning_modules.trunk import use_trunk_cache
from lightning_modules.validation_metrics import METRICS, classification_metrics
from nines.building import build
from nines.clipping.base import GradientClipping
from nines.errors import ConfigError, DivergedError
from nines.losses.base import BinaryLoss
from nines.losses.r_drop import r_drop_penalty
from nines.models.classifier import PairClassifier, PairClassifierOptions, build_pair_classifier
from nines.models.dropout import DropoutOptions

PLAIN_LOSS = {"_target_": "nines.losses.none.PlainLoss"}
NO_CLIPPING = {"_target_": "nines.clipping.none.NoClipping"}


class CompletionClassifier(ClippedTraining):
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

    model: PairClassifier
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
        architecture = dict(model)
        self.max_tokens = int(architecture.pop("max_tokens", PairClassifierOptions.max_tokens))
        self.trunk_cache = bool(architecture.pop("trunk_cache", PairClassifierOptions.trunk_cache))
        self.dropout_options = DropoutOptions(**(dropout or {}))
        self.optimizer_options = OptimizerOptions(**(optimizer or {}))
        self._architecture = architecture
        self._random_state = torch.get_rng_state()
        if not deferred:
            self.model = build_pair_classifier(**architecture, dropout=self.dropout_options)
        self.loss: BinaryLoss = build(loss, kind=BinaryLoss)
        self.clipping: GradientClipping = build(clipping, kind=GradientClipping)
        self._collected: dict[str, list[tuple[Tensor, Tensor]]] = {}
        self._scores: dict[str, NDArray[np.float64]] = {}

    # ---- set-up

    def setup(self, stage: str) -> None:
        """Hand the loss the mixture's class counts, and the data module the outputs of the frozen layers."""
        self.check_clipping()
        data = self._data
        if stage == "fit":
            self.loss.prepare(data.class_counts())
        if self.trunk_cache and self._architecture.get("freeze_layers", 0) > 0:
            # Frozen layers are what their source says, so that a copy serves where this rank has only a share.
            whole = self.model if self._built and not is_shared_out(self.model) else self._build()
            use_trunk_cache(whole, data, data.splits(stage), precision=str(self.trainer.precision))

    def configure_model(self) -> None:
        """Build the model, if that was deferred, and share out its parameters, if the strategy leaves that to us."""
        if not self._built:
            self.model = self._build()
        if self._trainer is not None and isinstance(self.trainer.strategy, FullySharded):
            shard(self.model, self.trainer.strategy)

    def _build(self) -> PairClassifier:
        """The classifier that the constructor would have made, without a trace in the random numbers that follow."""
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self._random_state)
            return build_pair_classifier(**self._architecture, dropout=self.dropout_options)

    @property
    def _built(self) -> bool:
        return "model" in self._modules

    def configure_optimizers(self) -> Any:
        """AdamW and its schedule, stepped at every optimizer step."""
        options = self.optimizer_options
        optimizer = build_optimizer(
            self.model.named_parameters(),
            options,
            depth_of=self.model.depth_of,
            head_depth=self.model.layer_count + 1,
        )
        trainer: Any = self.trainer
        steps = total_optimizer_steps(
            len(trainer.datamodule.train_dataloader()),
            limit=trainer.limit_train_batches,
            accumulate=trainer.accumulate_grad_batches,
            max_epochs=trainer.max_epochs,
            max_steps=trainer.max_steps,
        )
        schedule = build_schedule(optimizer, options, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    # ---- training

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
        return loss

    def clipped_parameters(self) -> Iterable[tuple[str, torch.nn.Parameter]]:
        """Names without the module's own `model.` in front, as clipping's `exclude` expects them."""
        return self.model.named_parameters()

    # ---- evaluation

    def validation_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        """Keep the scores of this batch."""
        self._collect("valid", batch)

    def test_step(self, batch: Mapping[str, Tensor], batch_idx: int, dataloader_idx: int = 0) -> None:
        """Keep the scores of this batch."""
        self._collect(self._test_splits()[dataloader_idx], batch)

    def predict_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> Tensor:
        """P(injurious), shape (batch,)."""
        return self(batch).cpu()  # type: ignore[no-any-return]

    def on_validation_epoch_start(self) -> None:
        """Forget the scores of the validation before."""
        self._collected.pop("valid", None)

    def on_test_epoch_start(self) -> None:
        """Forget the scores of the test before."""
        self._collected.clear()

    def on_validation_epoch_end(self) -> None:
        """Gather the scores over ranks, and log what a sweep may optimise."""
        self._finish("valid")

    def on_test_epoch_end(self) -> None:
        """Gather the scores over ranks, and log the same metrics for each test set."""
        for split in self._test_splits():
            self._finish(split)

    def gathered_scores(self, split: str) -> NDArray[np.float64]:
        """P(injurious) of every row of `split`, shape (rows,), in the order of the data module, on every rank."""
        return self._scores[split]

    @property
    def _data(self) -> Any:
        """The data module: rows, pairs, class counts. Lightning sets it, but does not declare it."""
        trainer: Any = self.trainer
        return trainer.datamodule

    def _test_splits(self) -> Sequence[str]:
        return list(self._data.splits("test"))

    def _collect(self, split: str, batch: Mapping[str, Tensor]) -> None:
        self._collected.setdefault(split, []).append((batch["row"].cpu(), self(batch).cpu()))

    def _finish(self, split: str) -> None:
        rows = self._data.rows(split)
        scores = torch.full((len(rows.labels),), 0.5, dtype=torch.float64)
        seen = torch.zeros(len(scores), dtype=torch.bool)
        for index, values in self._gather(self._collected.pop(split, [])):
            scores[index], seen[index] = values, True
        if diverged := int(torch.isnan(scores).sum()):
            raise DivergedError(
                f"training diverged: {diverged} of {int(seen.sum())} scores of {split!r} are not a number; lower "
                "module.optimizer.lr or clip gradients more (clipping=…)"
            )
        if not (seen.all() or self.trainer.sanity_checking or self._limited(split)):
            raise ConfigError(f"{int((~seen).sum())} of {len(scores)} rows of {split!r} were in no batch")
        self._scores[split] = scores.numpy()
        metrics = classification_metrics(self._scores[split], rows.labels)
        # No reduction over ranks: each has the scores of all.
        self.log_dict({f"{split}/{name}": value for name, value in metrics.items()}, rank_zero_only=False)

    def _limited(self, split: str) -> bool:
        limit = self.trainer.limit_val_batches if split == "valid" else self.trainer.limit_test_batches
        return isinstance(limit, int) or limit != 1.0  # as an integer, 1 is one batch

    def _gather(self, collected: list[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
        if self.trainer.world_size == 1:
            return collected
        everyone: list[Any] = [None] * self.trainer.world_size
        torch.distributed.all_gather_object(everyone, collected)
        return [batch for of_rank in everyone for batch in of_rank]

    # ---- checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out the frozen parameters."""
        leave_out_frozen(checkpoint, self._frozen_names(), fingerprint=self.model.fingerprint())

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the frozen parameters back, and say in one line what does not fit.

        Raises:
            CheckpointError: Another architecture, or frozen layers from other weights.
        """
        source = str(self.hparams["model"].get("source"))
        # Under a strategy that shards, the state is not asked for: collecting it would gather every share.
        own = self.state_dict() if "state_dict" in checkpoint else {}
        names, fingerprint = self._frozen_names(), self.model.fingerprint()
        put_back_frozen(checkpoint, own, names, fingerprint=fingerprint, source=source)

    def _frozen_names(self) -> set[str]:
        return {f"model.{name}" for name in self.model.frozen_parameter_names()}
