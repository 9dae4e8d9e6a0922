"""What every module around a pair encoder shares: building, optimizing, gathering scores of rows, checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_modules.clipped_training import ClippedTraining
from lightning_modules.deepspeed import DeepSpeed
from lightning_modules.frozen_weights import leave_out_frozen, put_back_frozen
from lightning_modules.fsdp import FullySharded, shard
from lightning_modules.gathering import gather_from_ranks
from lightning_modules.optimizers import OptimizerOptions, build_optimizer, build_schedule, total_optimizer_steps
from lightning_modules.shares import is_shared_out
from lightning_modules.trunk import use_trunk_cache
from nines.building import build
from nines.clipping.base import GradientClipping
from nines.errors import ConfigError, DivergedError
from nines.models.classifier import PairClassifier, PairClassifierOptions, build_pair_classifier
from nines.models.dropout import DropoutOptions

NO_CLIPPING = {"_target_": "nines.clipping.none.NoClipping"}


class PairModule(ClippedTraining):
    """An encoder of (prompt, completion) whose head gives one number, trained and evaluated row by row of the data.

    A subclass calls `take_options` in its constructor, defines `forward` (the values of each row, `(batch, ...)`) and
    `training_step`, and in `judge` logs what the values of a split come to. The data module numbers its rows: each
    batch has them as `row`, and `row_count` says how many there are.

    Attributes:
        value_shape: What `forward` gives for each row, besides the batch.
        unseen: Value of rows that a limited evaluation leaves out.
    """

    model: PairClassifier
    value_shape: ClassVar[tuple[int, ...]] = ()
    unseen: ClassVar[float] = 0.5

    def take_options(
        self,
        *,
        model: Mapping[str, Any],
        clipping: Mapping[str, Any],
        dropout: Mapping[str, Any] | None,
        optimizer: Mapping[str, Any] | None,
        deferred: bool,
    ) -> None:
        """Check the options and build the model, unless `deferred` leaves that to `configure_model`.

        Raises:
            ConfigError: Arguments that contradict each other.
        """
        architecture = dict(model)
        self.max_tokens = int(architecture.pop("max_tokens", PairClassifierOptions.max_tokens))
        self.trunk_cache = bool(architecture.pop("trunk_cache", PairClassifierOptions.trunk_cache))
        self.dropout_options = DropoutOptions(**(dropout or {}))
        self.optimizer_options = OptimizerOptions(**(optimizer or {}))
        self._architecture = architecture
        self._random_state = torch.get_rng_state()
        if not deferred:
            self.model = build_pair_classifier(**architecture, dropout=self.dropout_options)
        self.clipping: GradientClipping = build(clipping, kind=GradientClipping)
        self._collected: dict[str, list[tuple[Tensor, Tensor]]] = {}
        self._scores: dict[str, NDArray[np.float64]] = {}

    # ---- set-up

    def setup(self, stage: str) -> None:
        """Check the clipping, prepare the loss, and hand the data module the outputs of the frozen layers."""
        self.check_clipping()
        if stage == "fit":
            self.prepare_loss()
        if self.trunk_cache and self._architecture.get("freeze_layers", 0) > 0:
            # Frozen layers are what their source says, so that a copy serves where this rank has only a share.
            whole = self.model if self._built and not is_shared_out(self.model) else self._build()
            self._move_to_device(whole)
            use_trunk_cache(whole, self.data, self.data.splits(stage), precision=str(self.trainer.precision))

    def _move_to_device(self, whole: PairClassifier) -> None:
        """Bring the model to the GPU now: Lightning does so only after `setup`, and the frozen layers compute in it."""
        strategy = self.trainer.strategy
        shares_out = isinstance(strategy, FullySharded) or (isinstance(strategy, DeepSpeed) and strategy.stage == 3)
        if strategy.root_device.type != "cpu" and not shares_out:  # of those the whole may not fit on one
            whole.to(strategy.root_device)

    def prepare_loss(self) -> None:
        """Tell the loss what it must know of the training data before a fit; most need nothing."""

    def configure_model(self) -> None:
        """Build the model, if that was deferred, and share out its parameters, if the strategy leaves that to us."""
        if not self._built:
            self.model = self._build()
        if self._trainer is not None and isinstance(self.trainer.strategy, FullySharded):
            shard(self.model, self.trainer.strategy)

    def _build(self) -> PairClassifier:
        """The model that the constructor would have made, without a trace in the random numbers that follow."""
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self._random_state)
            return build_pair_classifier(**self._architecture, dropout=self.dropout_options)

    @property
    def _built(self) -> bool:
        return "model" in self._modules

    def trained_parameters(self) -> Iterable[tuple[str, torch.nn.Parameter]]:
        """What the optimizer moves and clipping sees; names are without the module's own `model.` in front."""
        return self.model.named_parameters()

    def clipped_parameters(self) -> Iterable[tuple[str, torch.nn.Parameter]]:
        """Names as clipping's `exclude` expects them."""
        return self.trained_parameters()

    def depth_of(self, parameter_name: str) -> int:
        """How far above the input a parameter lies, see `PairClassifier.depth_of`."""
        return self.model.depth_of(parameter_name)

    def configure_optimizers(self) -> Any:
        """AdamW and its schedule, stepped at every optimizer step."""
        options = self.optimizer_options
        optimizer = build_optimizer(
            self.trained_parameters(),
            options,
            depth_of=self.depth_of,
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

    def over_ranks(self, loss: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """What a training step returns for the mean `loss` of its rows: the mean over ranks is then that over all rows.

        One rank may have a row more than another. Losses whose rows interact see those of their rank alone.
        """
        return loss * batch["rank_weight"]

    # ---- evaluation

    def validation_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        """Keep the scores of this batch."""
        self._collect("valid", batch)

    def test_step(self, batch: Mapping[str, Tensor], batch_idx: int, dataloader_idx: int = 0) -> None:
        """Keep the scores of this batch."""
        self._collect(self._test_splits()[dataloader_idx], batch)

    def predict_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> Tensor:
        """What `forward` gives."""
        return self(batch).cpu()  # type: ignore[no-any-return]

    def on_validation_epoch_start(self) -> None:
        """Forget the scores of the validation before."""
        self._collected.pop("valid", None)

    def on_test_epoch_start(self) -> None:
        """Forget the scores of the test before."""
        self._collected.clear()

    def on_validation_epoch_end(self) -> None:
        """Gather the scores over ranks, and judge them."""
        self._finish("valid")

    def on_test_epoch_end(self) -> None:
        """Gather the scores over ranks, and judge each test set."""
        for split in self._test_splits():
            self._finish(split)

    def gathered_scores(self, split: str) -> NDArray[np.float64]:
        """What `forward` gives for every row of `split`, `(rows, ...)`, in the data module's order, on every rank."""
        return self._scores[split]

    def judge(self, split: str) -> None:
        """Log what the gathered scores of `split` come to; called on every rank alike."""
        raise NotImplementedError

    @property
    def data(self) -> Any:
        """The data module. Lightning sets it, but does not declare it."""
        trainer: Any = self.trainer
        return trainer.datamodule

    def _test_splits(self) -> Sequence[str]:
        return list(self.data.splits("test"))

    def _collect(self, split: str, batch: Mapping[str, Tensor]) -> None:
        self._collected.setdefault(split, []).append((batch["row"].cpu(), self(batch).cpu()))

    def _finish(self, split: str) -> None:
        scores = torch.full((self.data.row_count(split), *self.value_shape), self.unseen, dtype=torch.float64)
        seen = torch.zeros(len(scores), dtype=torch.bool)
        for index, values in gather_from_ranks(self._collected.pop(split, []), world_size=self.trainer.world_size):
            scores[index], seen[index] = values, True
        if diverged := int(torch.isnan(scores.reshape(len(scores), -1)).any(dim=1).sum()):
            raise DivergedError(
                f"training diverged: {diverged} of {int(seen.sum())} scores of {split!r} are not a number; lower "
                "module.optimizer.lr or clip gradients more (clipping=…)"
            )
        if not (seen.all() or self.trainer.sanity_checking or self._limited(split)):
            raise ConfigError(f"{int((~seen).sum())} of {len(scores)} rows of {split!r} were in no batch")
        self._scores[split] = scores.numpy()
        self.judge(split)

    def _limited(self, split: str) -> bool:
        limit = self.trainer.limit_val_batches if split == "valid" else self.trainer.limit_test_batches
        return isinstance(limit, int) or limit != 1.0  # as an integer, 1 is one batch

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
