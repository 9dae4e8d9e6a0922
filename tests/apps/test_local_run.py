import json
import os
from pathlib import Path

import pytest

from apps import local_run
from apps.cli import main
from apps.local_run import only_here
from apps.run_record import put_back
from lightning_modules.checkpoint_io import AtomicCheckpointIO
from nines.errors import SchedulerError, UserError
from nines.files import write_json
from nines.run_folder import RunFolder, RunStatus
from nines.run_owner import TOKEN_VARIABLE, Superseded, take_over
from tests.fake_slurm import FakeJob, FakeSlurm


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path / "run")
    run.checkpoints.mkdir(parents=True)
    return run


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    fake = FakeSlurm()
    fake.jobs["7"] = FakeJob("7", "7")
    monkeypatch.setattr("slurm.queue.SystemCommands", lambda **_: fake)
    monkeypatch.setattr(local_run, "available", lambda: True)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    return fake


def test_a_job_that_takes_the_run_over_stops_what_the_local_process_writes(folder: RunFolder) -> None:
    writer = AtomicCheckpointIO()
    with only_here(folder):
        writer.save_checkpoint({"of": "here"}, folder.last)
        kept = {folder.config: "seed: 0\n"}
        put_back(kept)
        take_over(folder.path)
        with pytest.raises(Superseded):
            writer.save_checkpoint({"of": "here too"}, folder.last)
        with pytest.raises(Superseded):
            RunStatus("running").write(folder)
        with pytest.raises(Superseded):
            put_back(dict.fromkeys(kept, "seed: 1\n"))
        assert writer.load_checkpoint(folder.last) == {"of": "here"}
        assert folder.config.read_text() == "seed: 0\n"
    assert TOKEN_VARIABLE not in os.environ


def test_ranks_started_by_another_process_keep_the_token_they_were_given(
    folder: RunFolder, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = take_over(folder.path)
    write_json(folder.path / "slurm.json", {"id": "7"})
    monkeypatch.setenv(TOKEN_VARIABLE, given)
    with only_here(folder):
        assert os.environ[TOKEN_VARIABLE] == given
    assert json.loads(folder.owner.read_text()) == {"token": given}
    assert slurm.commands == []


@pytest.mark.parametrize("state", ["PENDING", "RUNNING"])
def test_a_job_that_has_the_run_is_named_and_nothing_is_written(
    folder: RunFolder, slurm: FakeSlurm, state: str
) -> None:
    slurm.set("7", state)
    write_json(folder.path / "slurm.json", {"id": "7"})
    with pytest.raises(UserError, match=rf"job 7 is {state.lower()} with \S+, .*scancel 7$"), only_here(folder):
        pytest.fail("it trains beside the job")
    assert not folder.owner.exists()
    slurm.set("7", "COMPLETED")
    with only_here(folder):
        assert folder.owner.exists()


def test_a_job_known_by_the_status_alone_counts_too(folder: RunFolder, slurm: FakeSlurm) -> None:
    slurm.set("7", "RUNNING")
    RunStatus("running", job_id="7").write(folder)
    with pytest.raises(UserError, match="job 7 is running"), only_here(folder):
        pytest.fail("it trains beside the job")


def test_a_scheduler_that_does_not_answer_is_no_permission(folder: RunFolder, slurm: FakeSlurm) -> None:
    write_json(folder.path / "slurm.json", {"id": "7"})
    slurm.unreachable = True
    with pytest.raises(SchedulerError, match="cannot tell whether job 7"), only_here(folder):
        pytest.fail("it trains beside the job")


def test_without_slurm_here_a_fresh_status_of_a_job_counts(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_run, "available", lambda: False)
    RunStatus("running", job_id="7", host="node3").write(folder)
    with pytest.raises(UserError, match="job 7 trained on node3 a moment ago"), only_here(folder):
        pytest.fail("it trains beside the job")
    RunStatus("running", job_id="7", host="node3", updated=0.0).write(folder)
    with only_here(folder):
        pass


def test_the_command_refuses_in_one_line(
    slurm: FakeSlurm, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from apps.train import plan

    monkeypatch.chdir(tmp_path)
    words = ["model=tiny", "trainer=cpu", "test=false"]
    run = plan(words)[1]
    run.path.mkdir(parents=True)
    write_json(run.path / "slurm.json", {"id": "7"})
    assert main(["train", *words]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert "job 7 is pending" in lines[0]
    assert not run.status.exists()
