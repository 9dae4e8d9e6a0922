"""Ends a run whose folder was taken over by other processes, on all ranks together and without another write."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from nines import stop_requests
from nines.run_owner import Superseded, owns
from nines.stop_requests import Stop


class Ownership(Callback):
    """Looks into `owner.json` of the run folder: see `nines.run_owner`. Give it to the trainer as the first callback.

    While training only rank 0 looks, at most once in `interval` seconds, and asks by `stop_requests` to leave: the
    ranks do so together where they agree on stops. At the end of a validation or test, before other callbacks write
    their figures, all ranks hear what rank 0 sees and raise `Superseded`.

    Args:
        interval: Seconds between two looks while training.
    """

    def __init__(self, *, interval: float = 0.5) -> None:
        self.interval = interval
        self._looked_at = time.monotonic()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Look before anything of this stage is written.

        Raises:
            Superseded: On every rank: the run folder was taken over by other processes.
        """
        ensure_owned_on_all_ranks(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look, if the last look is old enough."""
        if trainer.is_global_zero and time.monotonic() - self._looked_at >= self.interval:
            self._looked_at = time.monotonic()
            if not owns(Path(trainer.default_root_dir)):
                stop_requests.request(Stop.LEAVE, "a new owner of the run folder")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look before the figures of this validation are written.

        Raises:
            Superseded: On every rank: the run folder was taken over by other processes.
        """
        ensure_owned_on_all_ranks(trainer)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look before the figures of this test are written.

        Raises:
            Superseded: On every rank: the run folder was taken over by other processes.
        """
        ensure_owned_on_all_ranks(trainer)


def ensure_owned_on_all_ranks(trainer: Trainer) -> None:
    """Return on all ranks if rank 0 may write in the run folder. Call it on every rank.

    Raises:
        Superseded: On every rank, if it may not.
    """
    folder = Path(trainer.default_root_dir)
    owned = owns(folder) if trainer.is_global_zero else True
    if not trainer.strategy.broadcast(owned, src=0):
        raise Superseded(folder)
