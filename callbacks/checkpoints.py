"""Writes `checkpoints/last.ckpt` to resume from and `checkpoints/best.ckpt` to use.

A checkpoint is only written where a resumed run continues to the bit: after a batch that ended an accumulation window
and is followed by neither validation nor the epoch's end, or after a validation. At these points the ranks agree, in
one all-reduce, on whether to write: because it is time, or because one was asked to (see `nines.stop_requests`).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from callbacks.agreement import alike, strongest
from callbacks.ownership import ensure_owned_on_all_ranks
from nines import stop_requests
from nines.errors import CheckpointError, ConfigError
from nines.run_folder import RunFolder
from nines.run_owner import Superseded
from nines.stop_requests import Stop


class Checkpoints(Checkpoint):
    """Keeps the newest whole state, and the state with the best objective.

    Args:
        monitor: Name of the logged objective.
        mode: Whether the objective is to be maximized ("max") or minimized ("min").
        every_n_steps: Optimizer steps between two writes of `last.ckpt`; None leaves it to time and validations.
        every_n_minutes: Minutes between two writes of `last.ckpt`; None leaves it to steps and validations.

    Attributes:
        agreed: What the ranks agreed on at the newest point, None if it was nothing or the batch ended at no point.
    """

    def __init__(
        self,
        *,
        monitor: str,
        mode: Literal["max", "min"] = "max",
        every_n_steps: int | None = None,
        every_n_minutes: float | None = 5.0,
    ) -> None:
        if every_n_steps is not None and every_n_steps < 1:
            raise ConfigError(f"callbacks.checkpoints.every_n_steps must be at least 1, got {every_n_steps}")
        if every_n_minutes is not None and every_n_minutes < 0:
            raise ConfigError(f"callbacks.checkpoints.every_n_minutes must not be negative, got {every_n_minutes}")
        self.monitor = monitor
        self.mode = mode
        self.every_n_steps = every_n_steps
        self.every_n_minutes = every_n_minutes
        self.best_value: float | None = None
        self.best_step: int | None = None
        self.agreed: Stop | None = None
        self._saved_step = -1
        self._saved_at = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """The best objective so far and its step."""
        return {"best_value": self.best_value, "best_step": self.best_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the best objective of the resumed run."""
        self.best_value = state_dict["best_value"]
        self.best_step = state_dict["best_step"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock; a resumed run need not save what it was just loaded from.

        Raises:
            CheckpointError: On every rank: some see a checkpoint to resume from, and others none or another one.
        """
        if not alike(trainer, trainer.global_step):
            raise CheckpointError(
                f"the ranks start at different steps: not all see the same checkpoints in {trainer.default_root_dir}; "
                "put the folder on a file system that all nodes share, or, if it is, run the same command again"
            )
        self._saved_step = trainer.global_step
        self._saved_at = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write `last.ckpt` when it is due, or asked for, and the state is one that can be resumed exactly.

        Raises:
            Superseded: On every rank: the run folder was taken over by other processes.
        """
        self.agreed = None
        if not can_resume_exactly(trainer, batch_idx):
            return
        asked = stop_requests.take()
        self.agreed = strongest(trainer, asked or (Stop.SAVE if self._due(trainer) else None))
        if self.agreed is Stop.LEAVE:
            raise Superseded(Path(trainer.default_root_dir))
        if self.agreed is not None:
            self.save_last(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write `best.ckpt` if the objective improved, then `last.ckpt`, which carries the new best value.

        Raises:
            Superseded: On every rank: the run folder was taken over by other processes.
            ConfigError: Validation logged no such objective.
        """
        if trainer.sanity_checking or not trainer.state.fn or trainer.state.fn.value != "fit":
            return
        logged = trainer.callback_metrics.get(self.monitor)
        if logged is None:
            known = ", ".join(sorted(trainer.callback_metrics))
            raise ConfigError(f"objective {self.monitor!r} was not logged by validation; logged: {known}")
        value = float(logged)
        if self._improves(value):
            self.best_value, self.best_step = value, trainer.global_step
            ensure_owned_on_all_ranks(trainer)
            trainer.save_checkpoint(RunFolder(Path(trainer.default_root_dir)).best)
        self.agreed = strongest(trainer, stop_requests.take())
        self.save_last(trainer)

    def save_last(self, trainer: Trainer) -> None:
        """Write `last.ckpt` now. Call it on every rank.

        Raises:
            Superseded: On every rank: the run folder was taken over by other processes.
        """
        ensure_owned_on_all_ranks(trainer)
        trainer.save_checkpoint(RunFolder(Path(trainer.default_root_dir)).last)
        self._saved_step = trainer.global_step
        self._saved_at = time.monotonic()

    def _due(self, trainer: Trainer) -> bool:
        since = trainer.global_step - self._saved_step
        if since <= 0:
            return False
        by_steps = self.every_n_steps is not None and since >= self.every_n_steps
        by_time = self.every_n_minutes is not None and time.monotonic() - self._saved_at >= 60 * self.every_n_minutes
        # No validation follows the last of `max_steps` inside an epoch: without this the end of the fit would be lost.
        ends = 0 < trainer.max_steps <= trainer.global_step
        return by_steps or by_time or ends

    def _improves(self, value: float) -> bool:
        if value != value:  # noqa: PLR0124 - NaN never improves
            return False
        if self.best_value is None:
            return True
        return value > self.best_value if self.mode == "max" else value < self.best_value


def can_resume_exactly(trainer: Trainer, batch_idx: int) -> bool:
    """Whether a checkpoint written in `on_train_batch_end` of this batch resumes to the bit.

    Inside an accumulation window the summed gradients are not part of a checkpoint; right before a validation or the
    epoch's end Lightning would resume behind it, and the run would miss that validation.
    """
    batches = int(trainer.num_training_batches)
    is_last = batch_idx + 1 >= batches
    accumulating = (batch_idx + 1) % trainer.accumulate_grad_batches != 0
    every = trainer.val_check_batch
    if trainer.check_val_every_n_epoch is None:
        validates = every is not None and (trainer.fit_loop.total_batch_idx + 1) % every == 0
    else:
        validates = every is not None and (batch_idx + 1) % every == 0
    return not (is_last or accumulating or validates)
