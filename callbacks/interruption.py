"""A run that is asked to stop ends at the next point from which it resumes to the bit, on all ranks together."""

from __future__ import annotations

from pathlib import Path
from types import FrameType
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from callbacks.agreement import common_batches, strongest
from callbacks.checkpoints import Checkpoints
from nines import stop_requests
from nines.errors import NinesError
from nines.run_owner import Superseded
from nines.stop_requests import Stop


class Interrupted(NinesError):
    """The run was asked to stop; everything up to its last checkpoint is kept."""

    exit_code = 130


class Interruption(Checkpoint):
    """Raises `Interrupted` where `nines.stop_requests` was asked to end the run; a second SIGINT stops at once.

    In a fit that is where `Checkpoints` writes: after a batch or a validation. Besides, where nothing is to be written:
    before a stage, when the signal came during imports or the set-up of data, and at any batch of the validation and
    test that follow a fit. A request only to save is met by `Checkpoints`, and here passed over.

    A `Checkpoint` by class, so that Lightning calls it after all callbacks that keep state. While a trainer runs,
    Lightning puts a handler of its own for SIGTERM before ours: it talks to the other ranks from inside the handler,
    can hang, and ends the run. That one is made to do nothing, and ours is installed again where hooks allow.

    Args:
        checkpoints: Writes the checkpoint before the run stops.
    """

    def __init__(self, *, checkpoints: Checkpoints) -> None:
        self.checkpoints = checkpoints
        self._common: list[int] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Stop before this stage if a signal came before it."""
        self._end_if_asked(trainer)
        if stop_requests.installed():
            # A private name, pinned by a test. Blocking the signal instead would hold it back from this thread alone.
            signals: Any = trainer._signal_connector
            signals._sigterm_notifier_fn = _leave_it_to_ours

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Install our handlers over Lightning's."""
        self._listen()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Install our handlers over Lightning's, and stop if a signal came while the model was set up."""
        self._listen()
        self._end_if_asked(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop where `Checkpoints` has just saved because the ranks agreed to end."""
        if self.checkpoints.agreed is Stop.END:
            raise _interrupted(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Install our handlers over Lightning's; before a validation after the fit, stop if asked to."""
        self._listen()
        if not _fitting(trainer):
            self._common = common_batches(trainer, list(trainer.num_val_batches))
            self._end_if_asked(trainer)

    def on_validation_batch_end(  # noqa: PLR0917 - as Lightning calls it
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Stop inside a validation after the fit, which the same command does again."""
        if not _fitting(trainer) and batch_idx < self._common[dataloader_idx]:
            self._end_if_asked(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop after a validation inside the fit, where `Checkpoints` has just saved."""
        if _fitting(trainer) and not trainer.sanity_checking and self.checkpoints.agreed is Stop.END:
            raise _interrupted(trainer)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Install our handlers over Lightning's, and stop if asked to."""
        self._listen()
        self._common = common_batches(trainer, list(trainer.num_test_batches))
        self._end_if_asked(trainer)

    def on_test_batch_end(  # noqa: PLR0917 - as Lightning calls it
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Stop inside the test, which the same command does again."""
        if batch_idx < self._common[dataloader_idx]:
            self._end_if_asked(trainer)

    def _end_if_asked(self, trainer: Trainer) -> None:
        """Stop where there is nothing to save: the checkpoint on the disk is where a resumed run goes on."""
        agreed = strongest(trainer, stop_requests.received())
        if agreed is Stop.LEAVE:
            raise Superseded(Path(trainer.default_root_dir))
        if agreed is Stop.END:
            raise _interrupted(trainer)

    def _listen(self) -> None:
        if stop_requests.installed():
            stop_requests.install()


def _leave_it_to_ours(number: int, frame: FrameType | None) -> None:
    """Stands for Lightning's part of a handler that calls ours, too."""


def _fitting(trainer: Trainer) -> bool:
    return trainer.state.fn is not None and trainer.state.fn.value == "fit"


def _interrupted(trainer: Trainer) -> Interrupted:
    cause = stop_requests.cause() or "a signal on another rank"
    return Interrupted(f"stopped by {cause} at step {trainer.global_step}; the same command resumes it")
