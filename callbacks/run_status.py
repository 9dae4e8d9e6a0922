"""Keeps `status.json` of the run folder true while a run trains, validates and ends."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer

from nines import stop_requests
from nines.run_folder import RunFolder, RunStatus
from nines.run_owner import Superseded
from nines.stop_requests import Stop


class RunStatusWriter(Callback):
    """Writes state, step, objective and the estimated time left, at most once in `interval` seconds.

    The final states (completed, pruned, interrupted, failed) are written by the command that owns the run, since only
    it knows whether a test follows the fit.

    Args:
        monitor: Name of the logged objective.
        mode: Whether the objective is to be maximized ("max") or minimized ("min").
        interval: Seconds between two writes.
    """

    def __init__(self, *, monitor: str, mode: Literal["max", "min"] = "max", interval: float = 0.5) -> None:
        self.monitor = monitor
        self.mode = mode
        self.interval = interval
        self.objective: float | None = None
        self.best_objective: float | None = None
        self._started_at = 0.0
        self._started_step = 0
        self._written_at = 0.0

    def state_dict(self) -> dict[str, Any]:
        """The objective so far."""
        return {"objective": self.objective, "best_objective": self.best_objective}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the objective of the resumed run."""
        self.objective = state_dict["objective"]
        self.best_objective = state_dict["best_objective"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of the estimate at the step that the run resumes from."""
        self._started_at = time.monotonic()
        self._started_step = trainer.global_step
        self._write(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write, if the last write is old enough."""
        if time.monotonic() - self._written_at >= self.interval:
            self._write(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take up the objective, and write."""
        if trainer.sanity_checking or not trainer.state.fn or trainer.state.fn.value != "fit":
            return
        logged = trainer.callback_metrics.get(self.monitor)
        if logged is not None:
            self.objective = float(logged)
            better = max if self.mode == "max" else min
            self.best_objective = (
                self.objective if self.best_objective is None else better(self.objective, self.best_objective)
            )
        self._write(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say where the run is when it comes straight to the validation after the fit, resumed behind its last step."""
        if trainer.state.fn and trainer.state.fn.value == "validate" and trainer.is_global_zero:
            done = self._status(trainer, total_steps=trainer.global_step, epoch=float(trainer.current_epoch))
            _write(done, trainer)

    def _write(self, trainer: Trainer) -> None:
        if not trainer.is_global_zero:
            return
        self._written_at = time.monotonic()
        total = trainer.estimated_stepping_batches
        steps = int(total) if total != float("inf") and total >= 0 else None
        done = trainer.global_step - self._started_step
        elapsed = time.monotonic() - self._started_at
        left = elapsed / done * (steps - trainer.global_step) if steps is not None and done > 0 else None
        batches = trainer.num_training_batches
        position = (trainer.fit_loop.batch_idx + 1) / batches if batches and batches != float("inf") else 0.0
        epoch = trainer.current_epoch + min(1.0, position)
        _write(self._status(trainer, total_steps=steps, epoch=epoch, seconds_left=left), trainer)

    def _status(self, trainer: Trainer, **known: Any) -> RunStatus:
        return RunStatus(
            state="running",
            step=trainer.global_step,
            objective=self.objective,
            best_objective=self.best_objective,
            ranks=trainer.world_size,
            **known,
        )


def _write(status: RunStatus, trainer: Trainer) -> None:
    """Write, or ask to leave if the folder has a new owner: the ranks leave together at the next point for it."""
    try:
        status.write(RunFolder(Path(trainer.default_root_dir)))
    except Superseded:
        stop_requests.request(Stop.LEAVE, "a new owner of the run folder")
