from __future__ import annotations

from pathlib import Path

import pytest

from apps.cli import main
from sweeps.cancel import is_cancelled
from sweeps.claims import Claim
from sweeps.definition import SweepDefinition
from sweeps.jobs import read_jobs
from sweeps.life_cycle import finish, take
from sweeps.outcome import Outcome
from sweeps.records import _jobs_of_this_machine
from sweeps.study import create_study, open_study
from tests.fake_slurm import FakeSlurm

WORDS = [
    "sweep=quick",
    "model=tiny",
    "trainer=cpu",
    "trials=6",
    "workers=4",
    "launcher=slurm",
    "launcher.partition=gpu",
]


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeSlurm:
    """A scheduler in memory behind the command line, in an empty folder, with configurations taken as they are."""
    fake = FakeSlurm()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("slurm.queue.SystemCommands", lambda **_: fake)
    monkeypatch.setattr("apps.submission.available", lambda: True)
    monkeypatch.setattr("apps.sweep_slurm.available", lambda: True)
    monkeypatch.setattr("apps.sweep_checks.check_and_prepare", lambda definition, **what: None)
    return fake


def folder_of(tmp_path: Path) -> Path:
    (folder,) = (tmp_path / "runs" / "sweep").iterdir()
    return folder


def test_it_submits_one_array_says_how_to_look_and_returns(
    slurm: FakeSlurm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", *WORDS]) == 0
    out = capsys.readouterr().out
    assert list(slurm.scripts) == ["7"]
    assert "#SBATCH --partition=gpu" in slurm.scripts["7"]
    assert "--run-trial apps.train:run_trial" in slurm.scripts["7"]
    folder = folder_of(tmp_path)
    for part in ("submitted job 7: an array of 4 workers", "squeue --jobs 7", f"nines sweep status folder={folder}"):
        assert part in out
    assert open_study(folder).trials() == []


def test_the_same_command_again_submits_only_what_is_missing(
    slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["sweep", *WORDS])
    slurm.set("7_0", "RUNNING")
    assert main(["sweep", *WORDS]) == 0
    out = capsys.readouterr().out
    assert "already there: job 7: 1 running on node1, 3 pending (Resources)" in out
    assert "nothing was submitted" in out
    slurm.set("7_0", "TIMEOUT")
    main(["sweep", *WORDS])
    assert "#SBATCH --array=0-0\n" in slurm.scripts[max(slurm.scripts, key=int)]
    assert "an array of 1 worker\n" in capsys.readouterr().out


def test_other_settings_do_nothing_to_jobs_that_are_there_and_it_says_so(
    slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["sweep", *WORDS])
    main(["sweep", *WORDS, "launcher.max_running=2"])
    assert "its jobs keep the resources" not in capsys.readouterr().out
    main(["sweep", *WORDS, "launcher.cpus_per_task=8"])
    assert "its jobs keep the resources that they were submitted with" in capsys.readouterr().out
    assert len(slurm.scripts) == 1


def test_status_tells_of_workers_that_failed_at_once(
    slurm: FakeSlurm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["sweep", *WORDS, "launcher.python=/nonexistent/python"])
    assert "warning: launcher.python = /nonexistent/python does not exist on this machine" in capsys.readouterr().err
    for task in ("7_1", "7_2"):
        slurm.set(task, "FAILED", exit_code=str(127 << 8))
    folder = folder_of(tmp_path)
    log = folder / "workers" / "slurm-7_1.log"
    log.write_text("job starts\nexec: /nonexistent/python: cannot execute\n\n")
    assert main(["sweep", "status", f"folder={folder}"]) == 0
    said = f"job 7: 2 workers failed (FAILED 127:0), see {log}: exec: /nonexistent/python: cannot execute\n"
    assert said in capsys.readouterr().out


def test_status_shows_the_log_where_slurm_forgot_how_workers_ended(
    slurm: FakeSlurm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["sweep", *WORDS])
    slurm.set("7", "FAILED")
    slurm.purge("7")
    slurm.accounting = False
    folder = folder_of(tmp_path)
    (folder / "workers" / "slurm-7_0.log").write_text("no such module\n")
    capsys.readouterr()
    main(["sweep", "status", f"folder={folder}"])
    out = capsys.readouterr().out
    assert "job 7: 4 workers ended, SLURM no longer knows how, see " in out
    assert ": no such module\n" in out


def test_a_job_that_can_never_start_is_warned_of(
    slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    submit = slurm._sbatch

    def too_large(*arguments: object) -> object:
        answer = submit(*arguments)  # type: ignore[arg-type]
        slurm.set("7", "PENDING")
        for job in slurm.jobs.values():
            job.reason = "PartitionConfig"
        return answer

    monkeypatch.setattr(slurm, "_sbatch", too_large)
    assert main(["sweep", *WORDS, "launcher.cpus_per_task=64"]) == 0
    (warning,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: job 7")]
    for part in ("for ever (PartitionConfig)", "cpus_per_task 64", "2 nodes of 4 cores", "`scancel 7`"):
        assert part in warning


def test_the_launcher_makes_no_other_sweep_and_is_no_business_of_its_trials(slurm: FakeSlurm, tmp_path: Path) -> None:
    main(["sweep", *WORDS])
    assert main(["sweep", *WORDS, "launcher.time='2:00:00'", "workers=6"]) == 0
    sweep = open_study(folder_of(tmp_path))
    assert not any("launcher" in line for line in sweep.definition.train)
    assert [record.tasks for record in read_jobs(sweep)] == [4, 2]


def test_a_dry_run_prints_the_script_and_writes_nothing(
    slurm: FakeSlurm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", *WORDS, "--dry-run"]) == 0
    script = capsys.readouterr().out
    assert script.startswith("#!/bin/bash\n")
    assert "#SBATCH --array=0-3\n" in script
    assert list(tmp_path.iterdir()) == []
    assert slurm.commands == []


def test_a_dry_run_of_a_sweep_that_runs_shows_what_is_missing(
    slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["sweep", *WORDS])
    slurm.set("7_3", "FAILED")
    capsys.readouterr()
    assert main(["sweep", *WORDS, "--dry-run"]) == 0
    assert "#SBATCH --array=0-0\n" in capsys.readouterr().out
    assert len(slurm.scripts) == 1


def test_a_finished_sweep_is_not_submitted_but_shown(
    slurm: FakeSlurm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*WORDS, "trials=1"]
    main(["sweep", *words])
    sweep = open_study(folder_of(tmp_path))
    job = take(sweep)
    finish(sweep, job.number, Outcome("completed", (0.5,), {"valid/partial_auc": 0.5}))  # type: ignore[union-attr]
    slurm.set("7", "COMPLETED")
    capsys.readouterr()
    assert main(["sweep", *words]) == 0
    out = capsys.readouterr().out
    assert "best: trial 0" in out
    assert "every trial is done, so no job was submitted" in out
    assert len(slurm.scripts) == 1
    # Nor is there anything to cancel, or a mark to leave.
    assert main(["sweep", "cancel", f"folder={sweep.folder}"]) == 0
    assert "nothing was running" in capsys.readouterr().out
    assert not is_cancelled(sweep)


def test_status_shows_the_queue_and_cancel_empties_it(
    slurm: FakeSlurm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["sweep", *WORDS])
    slurm.set("7_0", "RUNNING")
    capsys.readouterr()
    folder = folder_of(tmp_path)
    assert main(["sweep", "status", f"folder={folder}"]) == 0
    out = capsys.readouterr().out
    assert "job 7: 1 running on node1, 3 pending (Resources)" in out
    assert "· 1 worker\n" in out
    slurm.set("7_0", "COMPLETED")
    assert main(["sweep", "cancel", f"folder={folder}"]) == 0
    assert {job.state for job in slurm.jobs.values()} == {"COMPLETED", "CANCELLED"}
    assert "is cancelled" in capsys.readouterr().out


def test_status_shows_the_trial_of_a_cancelled_job_as_interrupted_and_what_goes_on_with_it(
    slurm: FakeSlurm, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.liveness.available", lambda: True)
    _jobs_of_this_machine.cache_clear()
    main(["sweep", *WORDS])
    slurm.set("7", "RUNNING")
    folder = folder_of(tmp_path)
    take(open_study(folder), Claim.mine(job="7_0"))
    slurm.set("7", "CANCELLED")
    capsys.readouterr()
    assert main(["sweep", "status", f"folder={folder}"]) == 0
    out = capsys.readouterr().out
    assert "interrupted" in out
    assert "its job 7_0 is over" in out
    assert "nobody works on it: the `nines sweep …` that started it goes on" in out
    _jobs_of_this_machine.cache_clear()


def test_status_and_cancel_on_a_machine_without_slurm_say_so(
    slurm: FakeSlurm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["sweep", *WORDS])
    slurm.unreachable = True
    capsys.readouterr()
    folder = folder_of(tmp_path)
    assert main(["sweep", "status", f"folder={folder}"]) == 0
    assert "job 7: 4 workers, about which SLURM cannot be asked (squeue: the SLURM" in capsys.readouterr().out
    assert main(["sweep", "cancel", f"folder={folder}"]) == 1
    out = capsys.readouterr().out
    assert "they stop when they see the mark; `scancel 7` on the cluster ends them at once" in out


def test_a_machine_without_slurm_cannot_submit_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("apps.submission.available", lambda: False)
    assert main(["sweep", *WORDS]) == 2
    assert "sbatch and squeue are not on the PATH" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["launcher=slurm", "launcher.partion=gpu"], "did you mean 'partition'"),
        (["launcher=slurm", "launcher.nodes=2"], "launcher.nodes=2 contradicts trainer.num_nodes=1"),
        (["launcher=slurm", "launcher.cpus_per_task=0"], "launcher.cpus_per_task"),
        (["--dry-run"], "--dry-run prints the script of launcher=slurm"),
        (["status", "--dry-run"], "--dry-run belongs to"),
        (["prepare=perhaps"], "prepare: expected true or false"),
    ],
)
def test_a_mistake_is_told_before_anything_is_submitted(
    slurm: FakeSlurm, tmp_path: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", *words]) == 2
    assert said in capsys.readouterr().err
    assert slurm.commands == []
    assert list(tmp_path.iterdir()) == []


def test_require_clean_refuses_a_checkout_with_changes(
    slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from apps.checkout import Checkout

    changed = Checkout("0" * 40, "-a\n+b\n", ("apps/cli.py",))
    monkeypatch.setattr(Checkout, "holding", lambda module: changed)
    assert main(["sweep", *WORDS, "launcher.require_clean=true"]) == 2
    assert "launcher.require_clean: not committed: apps/cli.py" in capsys.readouterr().err
    assert slurm.scripts == {}
    assert main(["sweep", *WORDS]) == 0
    assert "warning: not committed: apps/cli.py" in capsys.readouterr().err


def test_frozen_outputs_are_left_to_trials_that_have_gpus(slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def check_and_prepare(definition: SweepDefinition, **what: object) -> None:
        asked.append(what)

    monkeypatch.setattr("apps.sweep_checks.check_and_prepare", check_and_prepare)
    main(["sweep", *WORDS, "launcher.gpus_per_node=1", "trainer=gpu", "name=with-gpus"])
    main(["sweep", *WORDS, "prepare=false"])
    assert asked == [
        {"check": True, "prepared": True, "trunk": False},
        {"check": True, "prepared": False, "trunk": True},
    ]


def test_packed_trials_and_several_ranks_are_told(slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", *WORDS, "trainer=ddp", "launcher.trials_per_job=2"]) == 0
    assert "an array of 2 workers, 2 trials each, 1 x 2 ranks a trial" in capsys.readouterr().out
    assert "#SBATCH --ntasks-per-node=4" in slurm.scripts["7"]


def test_a_named_sweep_is_found_by_the_word_that_nines_report_takes(slurm: FakeSlurm, tmp_path: Path) -> None:
    from apps.sweep_options import locate

    create_study(tmp_path / "runs" / "sweep" / "mine-00000000", open_definition())
    assert locate(["sweep=mine"]).name == locate(["name=mine"]).name == "mine-00000000"


def open_definition() -> SweepDefinition:
    from tests.sweeps.conftest import definition

    return definition(name="mine")
