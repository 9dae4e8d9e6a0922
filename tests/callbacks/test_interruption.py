import os
import signal
from pathlib import Path
from typing import Any

import lightning as L
import pytest

from callbacks.checkpoints import Checkpoints
from callbacks.interruption import Interrupted, Interruption
from lightning_modules.checkpoint_io import read_checkpoint
from nines.run_folder import RunFolder
from tests.fakes import ScriptedObjective, fit_scripted


def test_a_signal_stops_the_run_at_a_checkpoint_of_that_very_step(tmp_path: Path) -> None:
    class Kill(L.Callback):
        def on_train_batch_start(
            self, trainer: L.Trainer, module: L.LightningModule, batch: Any, batch_idx: int
        ) -> None:
            if trainer.global_step == 10:
                os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    checkpoints = Checkpoints(monitor="valid/objective")
    with pytest.raises(Interrupted, match="SIGTERM at step 11"):
        fit_scripted(tmp_path, [Kill(), checkpoints, Interruption(checkpoints=checkpoints)])
    assert read_checkpoint(RunFolder(tmp_path).last)["global_step"] == 11
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_signal_before_a_validation_waits_for_it(tmp_path: Path) -> None:
    class Kill(L.Callback):
        def on_train_batch_start(
            self, trainer: L.Trainer, module: L.LightningModule, batch: Any, batch_idx: int
        ) -> None:
            if trainer.global_step == 7:
                os.kill(os.getpid(), signal.SIGINT)

    checkpoints = Checkpoints(monitor="valid/objective")
    module = ScriptedObjective([0.5, 0.6, 0.7])
    with pytest.raises(Interrupted, match="step 8"):
        fit_scripted(tmp_path, [Kill(), checkpoints, Interruption(checkpoints=checkpoints)], module)
    assert module.validations == 1
