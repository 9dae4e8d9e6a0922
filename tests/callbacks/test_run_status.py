from pathlib import Path

import pytest

from callbacks.checkpoints import Checkpoints
from callbacks.run_status import RunStatusWriter
from nines.run_folder import RunFolder, RunStatus
from tests.fakes import fit_scripted


def test_the_status_ends_at_the_last_step_with_the_best_objective(tmp_path: Path) -> None:
    fit_scripted(
        tmp_path, [RunStatusWriter(monitor="valid/objective", interval=0.0), Checkpoints(monitor="valid/objective")]
    )
    status = RunStatus.read(RunFolder(tmp_path))
    assert status is not None
    assert (status.state, status.step, status.total_steps) == ("running", 24, 24)
    assert status.objective == pytest.approx(0.7)
    assert status.best_objective == pytest.approx(0.9)
    assert status.seconds_left == pytest.approx(0.0)
    assert status.epoch == pytest.approx(3.0)
