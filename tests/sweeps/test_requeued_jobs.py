"""Trials that are held by jobs of the scheduler: what a job finds when it comes back, and others meanwhile."""

import dataclasses

import pytest

from nines.files import read_json, write_json
from nines.run_folder import RunFolder, RunStatus
from nines.run_owner import OWNER_FILE
from slurm.queue import Queue
from sweeps.claims import Claim
from sweeps.life_cycle import Idle, finish, take, work_left
from sweeps.liveness import Jobs
from sweeps.outcome import Outcome
from tests.fake_slurm import FakeSlurm
from tests.sweeps.conftest import completed


def worker(number=0, *, restarts=0, slot=0):
    """A worker in task `number` of array 7."""
    return dataclasses.replace(Claim.mine(job=f"7_{number}", restarts=restarts), slot=slot)


@pytest.fixture
def slurm():
    slurm = FakeSlurm()
    for number in range(3):
        slurm.add(f"7_{number}", "RUNNING")
    return slurm


def jobs(slurm, me):
    return Jobs(Queue(slurm), own=me.job, interval=0.0)


def take_as(sweep, slurm, me):
    return take(sweep, me, jobs=jobs(slurm, me))


def test_a_requeued_job_takes_up_the_trial_it_held_as_the_same_row_under_a_new_token(make_sweep, slurm):
    sweep = make_sweep(trials=2, retries=0)
    first = take_as(sweep, slurm, worker())
    again = take_as(sweep, slurm, worker(restarts=1))
    assert again == first
    assert [trial.state for trial in sweep.trials()] == ["running"]
    assert again.token != first.token
    assert read_json(first.folder / OWNER_FILE) == {"token": again.token}
    assert not finish(sweep, first.number, completed(0.1), claim=first.claim), "the old process is too late"
    assert finish(sweep, again.number, completed(0.5), claim=again.claim)


def test_a_worker_left_behind_on_a_lost_node_takes_nothing_from_its_job_that_came_back(make_sweep, slurm):
    sweep = make_sweep(trials=3)
    first = take_as(sweep, slurm, worker())
    assert take_as(sweep, slurm, worker(restarts=1)) == first
    assert take_as(sweep, slurm, worker()) is Idle.REPLACED
    assert take_as(sweep, slurm, worker(slot=1)) is Idle.REPLACED
    assert take_as(sweep, slurm, worker(1)).number == 1, "other jobs are not concerned"
    assert take_as(sweep, slurm, worker(restarts=1)) == first


def test_each_slot_takes_up_its_own_trial(make_sweep, slurm):
    sweep = make_sweep(trials=3)
    held = [take_as(sweep, slurm, worker(slot=slot)) for slot in range(2)]
    assert take_as(sweep, slurm, worker(restarts=1, slot=1)) == held[1]
    assert take_as(sweep, slurm, worker(restarts=1, slot=0)) == held[0]
    assert take_as(sweep, slurm, worker(1)).number == 2


@pytest.mark.parametrize("end", ["completed", "pruned"])
def test_a_run_that_ended_before_its_job_was_requeued_is_recorded_and_not_run_again(make_sweep, slurm, end):
    sweep = make_sweep(trials=2)
    first = take_as(sweep, slurm, worker())
    write_json(RunFolder(first.folder).metrics, {"metrics": {"score": 0.9}})
    RunStatus(end).write(RunFolder(first.folder))
    assert take_as(sweep, slurm, worker(restarts=1)).number == 1
    assert sweep.trials()[0].state == end


def test_a_failure_while_the_job_was_being_killed_is_not_believed(make_sweep, slurm):
    sweep = make_sweep(trials=1, retries=0)
    first = take_as(sweep, slurm, worker())
    RunStatus("failed", message="RuntimeError: Connection closed by peer").write(RunFolder(first.folder))
    assert take_as(sweep, slurm, worker(restarts=1)) == first


def test_a_worker_killed_between_the_end_of_a_trial_and_the_next_finds_nothing_held(make_sweep, slurm):
    sweep = make_sweep(trials=2)
    first = take_as(sweep, slurm, worker())
    finish(sweep, first.number, completed(0.5), claim=first.claim)
    assert take_as(sweep, slurm, worker(restarts=1)).number == 1


def test_a_job_that_waits_in_the_queue_keeps_its_trial(make_sweep, slurm):
    sweep = make_sweep(trials=1)
    take_as(sweep, slurm, worker())
    slurm.set("7_0", "PENDING")
    assert take_as(sweep, slurm, worker(1)) is Idle.LATER
    assert sweep.trials()[0].state == "running"


@pytest.mark.parametrize("state", ["NODE_FAIL", "CANCELLED", "FAILED"])
def test_the_trial_of_a_job_that_is_over_is_retried_by_the_next_looker(make_sweep, slurm, state):
    sweep = make_sweep(trials=1)
    first = take_as(sweep, slurm, worker())
    slurm.set("7_0", state)
    second = take_as(sweep, slurm, worker(1))
    assert (second.folder, second.overrides) == (first.folder, first.overrides)
    old, new = sweep.trials()
    assert (old.state, new.retry_of) == ("failed", old.number)
    assert "job 7_0," in old.reason
    assert take_as(sweep, slurm, worker(restarts=1)) is Idle.LATER, "put back by hand, it has nothing to take up"


def test_a_run_that_completed_just_before_its_job_ended_counts(make_sweep, slurm):
    sweep = make_sweep(trials=1)
    first = take_as(sweep, slurm, worker())
    write_json(RunFolder(first.folder).metrics, {"metrics": {"score": 0.9}})
    RunStatus("completed").write(RunFolder(first.folder))
    slurm.set("7_0", "FAILED")
    assert take_as(sweep, slurm, worker(1)) is Idle.DONE
    assert [(trial.state, trial.value) for trial in sweep.trials()] == [("completed", 0.9)]


def test_a_job_never_settles_what_it_holds_itself(make_sweep, slurm):
    sweep = make_sweep(trials=2)
    first = take_as(sweep, slurm, worker())
    slurm.set("7_0", "FAILED")
    take_as(sweep, slurm, worker(slot=1))
    assert sweep.trials()[first.number].state == "running"


def test_the_scheduler_is_asked_once_and_only_about_jobs_of_others(make_sweep, slurm):
    sweep = make_sweep(trials=5)
    take_as(sweep, slurm, worker())
    take_as(sweep, slurm, worker(slot=1))
    take(sweep, Claim.mine(), jobs=Jobs(Queue(slurm), interval=0.0))
    assert [command[-1] for command in slurm.commands] == ["--jobs=7_0"]
    slurm.commands.clear()
    take_as(sweep, slurm, worker(1))
    assert [command[-1] for command in slurm.commands] == ["--jobs=7_0"]


def test_work_is_left_for_a_job_that_holds_some_or_could_take_some(make_sweep, slurm):
    me, other = worker(), worker(1)
    sweep = make_sweep(trials=2, retries=1)
    assert work_left(sweep, me), "new sets"
    first, second = take_as(sweep, slurm, me), take_as(sweep, slurm, other)
    assert work_left(sweep, me), "its own"
    finish(sweep, first.number, completed(0.5))
    assert not work_left(sweep, me, jobs=jobs(slurm, me)), "another live worker has the last"
    finish(sweep, second.number, Outcome("interrupted"))
    assert work_left(sweep, me), "given back"
    third = take_as(sweep, slurm, other)
    finish(sweep, third.number, Outcome("failed", retry=True))
    assert work_left(sweep, me), "a retry"
    fourth = take_as(sweep, slurm, other)
    finish(sweep, fourth.number, Outcome("failed", retry=True))
    assert not work_left(sweep, me), "no retry left"


def test_a_trial_whose_job_was_killed_is_work_left_although_nobody_has_looked_since(make_sweep, slurm):
    me = worker()
    sweep = make_sweep(trials=1)
    take_as(sweep, slurm, worker(1))
    assert not work_left(sweep, me, jobs=jobs(slurm, me))
    slurm.set("7_1", "FAILED")
    assert work_left(sweep, me, jobs=jobs(slurm, me))
    assert take_as(sweep, slurm, worker(restarts=1)).number == 1
