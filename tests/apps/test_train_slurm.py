from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from apps import submission
from apps.cli import main
from nines.files import write_json
from nines.folder_lock import lock_folder
from nines.run_folder import RunFolder, RunStatus
from slurm.settings import SlurmSettings
from slurm.step import StepResources
from tests.fake_slurm import FakeSlurm

WORDS = ["model=tiny", "trainer=cpu", "test=false", "launcher=slurm", "launcher.cpus_per_task=2"]


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeSlurm:
    """A scheduler in memory behind the command line, in an empty folder; nothing is computed here."""
    fake = FakeSlurm()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("slurm.queue.SystemCommands", lambda **_: fake)
    monkeypatch.setattr("apps.submission.available", lambda: True)
    monkeypatch.setattr("apps.preparation.prepare_run", lambda config, **what: None)
    # In this process, which imports torch once for all tests.
    monkeypatch.setattr(submission, "check_and_prepare", submission._check_and_prepare)
    return fake


def folder_of(tmp_path: Path) -> RunFolder:
    (folder,) = (tmp_path / "runs" / "train").iterdir()
    return RunFolder(folder)


def test_it_submits_one_job_whose_ranks_do_not_submit_again(
    slurm: FakeSlurm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *WORDS]) == 0
    assert "submitted job 7" in capsys.readouterr().out
    script = slurm.scripts["7"]
    assert "#SBATCH --array" not in script
    assert "export OMP_NUM_THREADS=2\n" in script
    folder = folder_of(tmp_path)
    batch, _, rank = script.splitlines()[-1].partition(" -- ")
    words = shlex.split(batch)
    assert words[words.index("--folder") + 1] == str(folder.path)
    settings = SlurmSettings.read(Path(words[words.index("--settings") + 1]))
    assert settings.resources == StepResources(cpus_per_task=2)
    assert shlex.split(rank)[1:] == ["-m", "apps.cli", "train", *WORDS[:3], "launcher=local"]
    assert (folder.path / "slurm-7.sh").read_text() == script


def test_the_launcher_is_no_part_of_the_runs_identity(slurm: FakeSlurm, tmp_path: Path) -> None:
    from apps.train import plan

    main(["train", *WORDS])
    assert plan(WORDS[:3])[1] == folder_of(tmp_path)


def test_the_same_command_while_it_is_queued_says_so(slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]) -> None:
    main(["train", *WORDS])
    capsys.readouterr()
    assert main(["train", *WORDS]) == 0
    assert "job 7 is pending (Resources), so nothing was submitted" in capsys.readouterr().out
    slurm.set("7", "RUNNING")
    main(["train", *WORDS])
    assert "job 7 is running on node1" in capsys.readouterr().out
    assert list(slurm.scripts) == ["7"]
    slurm.set("7", "TIMEOUT")
    main(["train", *WORDS])
    assert list(slurm.scripts) == ["7", "8"]


def test_two_that_submit_at_once_submit_one_job(
    slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both have found no job; the other is done while this one still prepares."""
    prepare = submission._check_and_prepare

    def prepare_while_the_other_submits(*arguments: Any, **options: Any) -> None:
        monkeypatch.setattr(submission, "check_and_prepare", prepare)
        assert main(["train", *WORDS]) == 0
        prepare(*arguments, **options)

    monkeypatch.setattr(submission, "check_and_prepare", prepare_while_the_other_submits)
    assert main(["train", *WORDS]) == 0
    assert list(slurm.scripts) == ["7"]
    assert "job 7 is pending (Resources), so nothing was submitted" in capsys.readouterr().out


def test_nothing_is_submitted_while_the_former_job_cannot_be_asked_about(
    slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["train", *WORDS])
    slurm.unreachable = True
    assert main(["train", *WORDS]) == 1
    assert "cannot tell whether job 7 still trains" in capsys.readouterr().err


def test_nothing_is_submitted_while_a_process_trains_in_the_folder(
    slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["train", *WORDS])
    slurm.set("7", "CANCELLED")
    monkeypatch.setattr("apps.train_slurm.LOCK_SECONDS", 0.0)
    with lock_folder(folder_of(tmp_path).path):
        assert main(["train", *WORDS]) == 1
    assert "another process still runs" in capsys.readouterr().err
    assert list(slurm.scripts) == ["7"]


def test_a_dry_run_prints_the_script_and_writes_nothing(
    slurm: FakeSlurm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *WORDS, "trainer.devices=2", "trainer.num_nodes=2", "--dry-run"]) == 0
    script = capsys.readouterr().out
    assert "#SBATCH --nodes=2\n" in script
    assert "#SBATCH --ntasks-per-node=2\n" in script
    assert list(tmp_path.iterdir()) == []
    assert slurm.commands == []


def test_a_stopped_run_is_resumed_by_its_folder_on_the_cluster(slurm: FakeSlurm, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "earlier")
    folder.path.mkdir()
    write_json(folder.overrides, ["model=tiny", "trainer=cpu", "test=false"])
    RunStatus("interrupted", step=5).write(folder)
    assert main(["train", f"resume={folder.path}", "launcher=slurm"]) == 0
    rank = shlex.split(slurm.scripts["7"].splitlines()[-1].partition(" -- ")[2])
    assert rank[4:] == [f"resume={folder.path}", "launcher=local"]
    assert (folder.path / "slurm.json").exists()


def test_a_complete_run_is_shown_and_not_submitted(
    slurm: FakeSlurm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["train", *WORDS])
    RunStatus("completed").write(folder_of(tmp_path))
    slurm.set("7", "COMPLETED")
    assert main(["train", *WORDS]) == 0
    assert "is complete" in capsys.readouterr().out
    # A word that only says where to run asks for nothing more of a run.
    write_json(folder_of(tmp_path).overrides, WORDS[:3])
    assert main(["train", f"resume={folder_of(tmp_path).path}", "launcher=slurm"]) == 0
    assert list(slurm.scripts) == ["7"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["launcher=slurm", "launcher.tasks_per_node=2", "trainer=cpu"], 2, "contradicts trainer.devices=1"),
        (["launcher=slurm", "trainer=gpu"], 2, "set launcher.gpus_per_node=1"),
        (["--dry-run"], 2, "--dry-run prints the script of launcher=slurm"),
        (["launcher=local", "+launcher.partition=gpu"], 2, "choose launcher=slurm"),
    ],
)
def test_a_mistake_is_told_before_anything_is_submitted(
    slurm: FakeSlurm, tmp_path: Path, words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "model=tiny", *words]) == code
    assert said in capsys.readouterr().err
    assert slurm.commands == []
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_could_not_be_built_is_refused_before_it_is_submitted(
    slurm: FakeSlurm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *WORDS, "module.optimizer.lr=fast"]) == 2
    assert "module.optimizer.lr = 'fast': expected a number" in capsys.readouterr().err
    assert slurm.scripts == {}
    assert list(tmp_path.iterdir()) == []
