import dataclasses
import os

import pytest

from nines.folder_lock import lock_folder
from nines.run_folder import RunFolder, RunStatus
from slurm.queue import Queue
from sweeps.claims import Claim
from sweeps.liveness import Jobs, abandoned
from tests.fake_slurm import FakeSlurm

DEAD_HERE = dataclasses.replace(Claim.mine(), pid=2**22 + 1, started="1")
HELD = dataclasses.replace(DEAD_HERE, job="7_0")
LONG_AGO = 1_000_000_000.0


@pytest.fixture
def slurm():
    return FakeSlurm()


def silent_run(tmp_path):
    RunStatus("running").write(RunFolder(tmp_path))
    os.utime(RunFolder(tmp_path).status, (LONG_AGO, LONG_AGO))
    return tmp_path


def gone(claim, folder, slurm):
    jobs = Jobs(Queue(slurm) if slurm is not None else None)
    jobs.ask([claim])
    return abandoned(claim, folder, begun=LONG_AGO, jobs=jobs)


@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "REQUEUED"])
def test_a_job_that_may_come_back_holds_its_trial_however_long_it_is_silent(slurm, tmp_path, state):
    slurm.add("7_0", state)
    assert not gone(HELD, silent_run(tmp_path), slurm)


@pytest.mark.parametrize("state", ["COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY"])
def test_a_job_that_ended_holds_nothing_even_if_it_spoke_just_now(slurm, tmp_path, state):
    slurm.add("7_0", state)
    RunStatus("running").write(RunFolder(tmp_path))
    assert gone(HELD, tmp_path, slurm)


def test_a_job_that_the_scheduler_forgot_holds_nothing_once_its_run_is_silent_and_free(slurm, tmp_path):
    slurm.accounting = False
    slurm.add("7_0", "COMPLETED")
    slurm.purge("7_0")
    folder = silent_run(tmp_path)
    assert gone(HELD, folder, slurm)
    with lock_folder(folder):
        assert not gone(HELD, folder, slurm)


def test_a_run_that_speaks_outlives_a_scheduler_that_lost_its_memory(slurm, tmp_path):
    RunStatus("running").write(RunFolder(tmp_path))
    assert not gone(HELD, tmp_path, slurm)


def test_a_scheduler_that_cannot_be_asked_takes_nothing_from_anybody(slurm, tmp_path):
    slurm.add("7_0", "COMPLETED")
    slurm.unreachable = True
    assert not gone(HELD, silent_run(tmp_path), slurm)


def test_where_there_is_no_scheduler_only_long_silence_tells(tmp_path):
    assert gone(HELD, silent_run(tmp_path), None)
    RunStatus("running").write(RunFolder(tmp_path))
    assert not gone(HELD, tmp_path, None)


def test_a_process_of_this_machine_needs_no_scheduler(slurm, tmp_path):
    assert gone(DEAD_HERE, tmp_path, slurm)
    assert not gone(Claim.mine(), silent_run(tmp_path), slurm)
    assert slurm.commands == []


def test_all_jobs_are_asked_about_at_once_and_the_own_one_never(slurm):
    for number in range(3):
        slurm.add(f"7_{number}")
    jobs = Jobs(Queue(slurm), own="7_0")
    jobs.ask(dataclasses.replace(HELD, job=f"7_{number}", slot=slot) for number in range(3) for slot in range(2))
    (command,) = slurm.commands
    assert command[-1] == "--jobs=7_1,7_2"
    jobs.ask([HELD])
    assert len(slurm.commands) == 1


def test_fresh_answers_are_used_again_but_not_for_a_job_that_was_put_back(slurm, tmp_path):
    slurm.add("7_0", "FAILED")
    jobs = Jobs(Queue(slurm))
    jobs.ask([HELD])
    jobs.ask([HELD])
    assert len(slurm.commands) == 1
    slurm.set("7_0", "RUNNING")
    back = dataclasses.replace(HELD, restarts=1)
    assert not abandoned(back, tmp_path, begun=LONG_AGO, jobs=jobs)
    jobs.ask([HELD, back])
    assert len(slurm.commands) == 2
    assert not abandoned(back, tmp_path, begun=LONG_AGO, jobs=jobs)


def test_old_answers_are_asked_for_again(slurm):
    slurm.add("7_0")
    jobs = Jobs(Queue(slurm), interval=0.0)
    jobs.ask([HELD])
    jobs.ask([HELD])
    assert len(slurm.commands) == 2
