import os
import signal
from pathlib import Path

import lightning as L

from nines.run_folder import RunFolder, RunStatus
from tests.trainings import run_in_child


class TwiceAt(L.Callback):
    """Two SIGINTs in a row: the second does not wait for a checkpoint."""

    def on_train_batch_start(self, trainer: L.Trainer, *arguments: object) -> None:
        if trainer.global_step == 3:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)


def test_a_second_interrupt_stops_at_once_and_the_run_says_interrupted(tmp_path: Path) -> None:
    assert run_in_child(tmp_path, ["+callbacks.twice._target_=tests.apps.test_interrupts.TwiceAt"]) != 0
    status = RunStatus.read(RunFolder(tmp_path))
    assert status is not None
    assert status.state == "interrupted"
    assert run_in_child(tmp_path, []) == 0
