import os
import signal
import sys
import time
from pathlib import Path

import pytest

from nines.files import read_json
from nines.run_folder import RunFolder, RunStatus
from nines.run_owner import owns, take_over
from slurm import step_process
from slurm.settings import SlurmSettings
from slurm.step import StepResources
from sweeps import trial_step
from sweeps.claims import Claim
from sweeps.trial import TrialJob
from sweeps.trial_step import StepTrials
from tests.sweeps.conftest import REPOSITORY, RUN_TRIAL, wait_until
from tests.sweeps.fake_training import steps_of


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Start a trial of two ranks under a stand-in for srun."""
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    srun = tmp_path / "srun"
    srun.write_text(f'#!/bin/sh\nexec {sys.executable} {REPOSITORY}/tests/sweeps/fake_srun.py "$@"\n')
    srun.chmod(0o755)
    started = []

    def start(*overrides):
        folder = tmp_path / "trials" / "0000"
        claim = Claim(**{**Claim.mine(job="7_0").as_mapping(), "token": take_over(folder)})
        job = TrialJob(folder, ("x=0.3", *overrides), f"journal:{tmp_path}/j", "toy", 0, 0, ("score",), claim)
        settings = SlurmSettings(
            resources=StepResources(tasks_per_node=2), rank_python=sys.executable, signal_seconds=30, requeue=True
        )
        started.append(StepTrials(RUN_TRIAL, settings, threads=2).start(job))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        ended(process)


def ended(process):
    codes = []

    def poll():
        codes.append(process.poll())
        return codes[-1] is not None

    wait_until(poll)
    return codes[-1]


def status_of(process):
    return RunStatus.read(RunFolder(process.job.folder))


def test_the_ranks_train_with_the_job_and_the_token_and_a_port_of_their_own(start, monkeypatch):
    process = start()
    assert ended(process) == 0
    assert status_of(process).state == "completed"
    variables = read_json(process.job.folder / "rank-1.json")["variables"]
    assert variables["NINES_OWNER"] == process.job.token
    assert 0 < int(variables["MASTER_PORT"]) < 65536
    assert variables["OMP_NUM_THREADS"] == "2"
    monkeypatch.setenv("NINES_OWNER", process.job.token)
    assert owns(process.job.folder)


def test_a_wish_to_stop_reaches_rank_0_which_ends_as_interrupted_with_code_0(start):
    process = start("steps=500", "pause=0.02")
    wait_until(lambda: (process.job.folder / "rank-1.json").exists() and (process.job.folder / "steps.txt").exists())
    process.ask_to_stop()
    assert ended(process) == 0
    assert status_of(process).state == "interrupted"


def test_a_wish_that_srun_swallowed_is_repeated(start, monkeypatch):
    monkeypatch.setattr(step_process, "REPEAT_SECONDS", 0.2)
    process = start("steps=500", "pause=0.02")
    wait_until(lambda: (process.job.folder / "rank-1.json").exists() and (process.job.folder / "steps.txt").exists())
    monkeypatch.setattr(process._process, "_told_at", time.monotonic())
    assert ended(process) == 0
    assert status_of(process).state == "interrupted"


def test_a_killed_rank_ends_the_step_and_its_complaint_comes_into_the_log(start):
    process = start("steps=500", "pause=0.02")
    wait_until(lambda: (process.job.folder / "rank-1.json").exists() and (process.job.folder / "steps.txt").exists())
    os.kill(read_json(process.job.folder / "rank-1.json")["pid"], signal.SIGKILL)
    assert ended(process) == 137
    assert "task 1: Exited with exit code 137" in RunFolder(process.job.folder).log.read_text()
    assert status_of(process).state == "running"


def test_ranks_that_were_lost_with_their_node_did_not_end_well_though_srun_says_so(start, monkeypatch):
    monkeypatch.setattr(trial_step, "NODE_FAILED_SECONDS", 0.0)
    process = start("mode=hang")
    wait_until((process.job.folder / "steps.txt").exists)
    Path("node_failure").touch()
    assert ended(process) == 137
    assert "Node failure on node1" in RunFolder(process.job.folder).log.read_text()


def test_a_node_failure_is_not_told_before_slurm_had_time_to_put_the_job_back(start):
    process = start("mode=hang")
    wait_until((process.job.folder / "steps.txt").exists)
    Path("node_failure").touch()
    wait_until(lambda: process.poll() is None and process._failed_at is not None)
    process.ask_to_stop()
    assert process.poll() == 137


def test_kill_ends_the_ranks_without_a_checkpoint_more(start):
    process = start("mode=hang")
    wait_until((process.job.folder / "steps.txt").exists)
    process.kill()
    assert ended(process) == 137


def test_a_step_that_cannot_start_is_tried_again_until_it_can(start, monkeypatch):
    monkeypatch.setattr(trial_step, "FIRST_DELAY", 0.05)
    Path("refusals").write_text("2")
    process = start()
    assert ended(process) == 0
    assert steps_of(process.job.folder) == [1, 2, 3]
    assert Path("refusals").read_text() == "0"


def test_a_step_that_cannot_start_for_too_long_fails_with_what_srun_said(start, monkeypatch):
    monkeypatch.setattr(trial_step, "START_SECONDS", 0.0)
    Path("refusals").write_text("2")
    process = start()
    assert ended(process) == 1
    assert "Requested nodes are busy" in RunFolder(process.job.folder).log.read_text()
    assert status_of(process).state == "starting"


def test_a_step_that_waits_for_nodes_ends_at_once_when_it_is_to_stop(start, monkeypatch):
    monkeypatch.setattr(trial_step, "FIRST_DELAY", 1000.0)
    Path("refusals").write_text("1")
    process = start()
    wait_until(lambda: process.poll() is None and Path("refusals").read_text() == "0" and process._again_at is not None)
    process.ask_to_stop()
    assert process.poll() == 1


def test_a_rank_that_fails_at_once_is_not_taken_for_a_step_that_could_not_start(start):
    process = start("mode=refuse")
    assert ended(process) == 1
    assert status_of(process).message == "3 rows are broken"
