"""Ctrl-C and SIGTERM end a run at the next point from which it resumes to the bit."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from callbacks.checkpoints import Checkpoints, can_resume_exactly
from nines.errors import NinesError


class Interrupted(NinesError):
    """The run was asked to stop; everything up to its last checkpoint is kept."""

    exit_code = 130


class Interruption(Checkpoint):
    """Turns the first SIGINT or SIGTERM into a checkpoint and `Interrupted`; a second SIGINT stops at once.

    The handler only sets a flag: saving inside a signal handler can hang. A `Checkpoint` by class, so that Lightning
    calls it after all callbacks that keep state.

    Args:
        checkpoints: Writes the checkpoint before the run stops.
    """

    def __init__(self, *, checkpoints: Checkpoints) -> None:
        self.checkpoints = checkpoints
        self._received: signal.Signals | None = None
        self._previous: dict[signal.Signals, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Install the handlers, after Lightning's own."""
        if threading.current_thread() is not threading.main_thread():
            return  # Python allows handlers in the main thread alone; a notebook's worker thread goes without.
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._remember)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give the signals back."""
        self._restore()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give the signals back."""
        self._restore()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop here if asked to and if a resumed run can go on exactly from here."""
        if can_resume_exactly(trainer, batch_idx) and self._asked(trainer):
            self._stop(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop after a validation inside the fit, where `Checkpoints` has just saved."""
        if (
            trainer.state.fn
            and trainer.state.fn.value == "fit"
            and not trainer.sanity_checking
            and self._asked(trainer)
        ):
            self._stop(trainer, saved=True)

    def _asked(self, trainer: Trainer) -> bool:
        asked = self._received is not None
        if trainer.world_size > 1:
            return bool(trainer.strategy.reduce_boolean_decision(asked, all=False))
        return asked

    def _stop(self, trainer: Trainer, *, saved: bool = False) -> None:
        if not saved:
            self.checkpoints.save_last(trainer)
        name = self._received.name if self._received else "a signal on another rank"
        raise Interrupted(f"stopped by {name} at step {trainer.global_step}; the same command resumes it")

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self._received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._received = signal.Signals(number)

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()
