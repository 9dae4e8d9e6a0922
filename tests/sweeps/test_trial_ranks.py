import os
import signal
import sys

import pytest

from nines.files import read_json
from nines.run_folder import RunFolder, RunStatus
from sweeps import trial_ranks
from sweeps.claims import Claim
from sweeps.trial import TrialJob
from sweeps.trial_ranks import LocalRanks, rank_environment
from tests.sweeps.conftest import REPOSITORY, RUN_TRIAL, lives, wait_until


@pytest.fixture
def start(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    started = []

    def start(*overrides):
        claim = Claim(**{**Claim.mine().as_mapping(), "token": "mine"})
        job = TrialJob(tmp_path / "run", ("x=0.3", *overrides), f"journal:{tmp_path}/j", "toy", 3, 2, ("score",), claim)
        started.append(LocalRanks(RUN_TRIAL, ranks=2, threads=1).start(job))
        return started[-1], RunFolder(job.folder)

    yield start
    for group in started:
        group.kill()
        ended(group)


def ended(group):
    codes = []
    wait_until(lambda: codes.append(group.poll()) or codes[-1] is not None)
    return codes[-1]


def both_run(folder):
    return (folder.path / "rank-1.json").exists() and (folder.path / "steps.txt").exists()


def test_each_rank_gets_torchruns_variables_and_none_of_a_step_around(monkeypatch, tmp_path):
    monkeypatch.setenv("SLURM_PROCID", "3")
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    job = TrialJob(tmp_path, (), "journal:/j", "toy", 3, 2, ("score",))
    variables = [rank_environment(job, rank=rank, ranks=2, port=20001) for rank in range(2)]
    assert [one["RANK"] for one in variables] == [one["LOCAL_RANK"] for one in variables] == ["0", "1"]
    assert {one["WORLD_SIZE"] for one in variables} == {"2"}
    assert {(one["MASTER_ADDR"], one["MASTER_PORT"]) for one in variables} == {("127.0.0.1", "20001")}
    assert not [name for one in variables for name in one if name.startswith("SLURM_")]


def test_all_ranks_train_the_same_job(start):
    group, folder = start()
    assert ended(group) == 0
    assert RunStatus.read(folder).state == "completed"
    variables = read_json(folder.path / "rank-1.json")["variables"]
    assert (variables["RANK"], variables["NINES_OWNER"]) == ("1", "mine")


def test_a_wish_to_stop_reaches_the_ranks(start):
    group, folder = start("steps=500", "pause=0.02")
    wait_until(lambda: both_run(folder))
    group.ask_to_stop()
    assert ended(group) == 0
    assert RunStatus.read(folder).state == "interrupted"


def test_when_one_rank_is_killed_the_others_go_after_a_while_and_the_code_tells(start, monkeypatch):
    monkeypatch.setattr(trial_ranks, "LEFT_SECONDS", 0.2)
    group, folder = start("steps=500", "pause=0.02")
    wait_until(lambda: both_run(folder))
    os.kill(group.processes[1].pid, signal.SIGKILL)
    assert ended(group) == -signal.SIGKILL
    assert not lives(group.processes[0].pid)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread looks, twice a second")
def test_ranks_die_with_their_worker(start, make_sweep, start_worker):
    sweep = make_sweep(trials=1, train=["steps=500", "pause=0.02"])
    worker = start_worker(sweep, "--ranks", "2")
    folder = RunFolder(sweep.folder / "trials" / "0000")
    wait_until(lambda: both_run(folder))
    ranks = [RunStatus.read(folder).pid, read_json(folder.path / "rank-1.json")["pid"]]
    worker.kill()
    worker.wait()
    wait_until(lambda: not any(lives(pid) for pid in ranks), seconds=5)


def test_a_worker_runs_trials_of_several_ranks_and_a_failure_of_any_is_told(make_sweep, start_worker):
    sweep = make_sweep(space={"x": "choice(0.1)", "mode": "choice(normal, refuse)"}, sampler="grid", trials=2)
    assert start_worker(sweep, "--ranks", "2").wait(60) == 0
    assert {trial.params["mode"]: (trial.state, trial.reason) for trial in sweep.trials()} == {
        "normal": ("completed", ""),
        "refuse": ("failed", "3 rows are broken"),
    }
