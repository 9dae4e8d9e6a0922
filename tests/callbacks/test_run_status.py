from pathlib import Path

import lightning as L
import pytest
from lightning.pytorch.demos.boring_classes import RandomDataset
from torch.utils.data import DataLoader

from callbacks.checkpoints import Checkpoints
from callbacks.run_status import RunStatusWriter
from nines.run_folder import RunFolder, RunStatus
from tests.fakes import ScriptedObjective, fit_scripted


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


def test_the_status_tells_job_restarts_and_ranks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "123")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    fit_scripted(tmp_path, [RunStatusWriter(monitor="valid/objective"), Checkpoints(monitor="valid/objective")])
    status = RunStatus.read(RunFolder(tmp_path))
    assert status is not None
    assert (status.job_id, status.restarts, status.ranks) == ("123", 2, 1)


def test_a_run_resumed_behind_its_last_step_says_so_in_the_validation_that_follows(tmp_path: Path) -> None:
    def callbacks() -> list[L.Callback]:
        return [RunStatusWriter(monitor="valid/objective"), Checkpoints(monitor="valid/objective")]

    short = {"max_epochs": -1, "max_steps": 11}
    fit_scripted(tmp_path, callbacks(), **short)
    folder = RunFolder(tmp_path)
    folder.status.unlink()
    module = ScriptedObjective([0.5] * 4)
    trainer = fit_scripted(tmp_path, callbacks(), module, ckpt_path=str(folder.last), **short)
    assert not folder.status.exists()
    trainer.validate(module, DataLoader(RandomDataset(32, 2)), verbose=False)
    status = RunStatus.read(folder)
    assert status is not None
    assert (status.state, status.step, status.total_steps) == ("running", 11, 11)
    assert status.best_objective == pytest.approx(0.5)
