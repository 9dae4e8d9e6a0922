import dataclasses
from pathlib import Path

from slurm.queue import Queue
from sweeps.claims import Claim
from sweeps.definition import Objective
from sweeps.life_cycle import take
from sweeps.liveness import Jobs
from sweeps.records import best_record, read_records, results, slots_left, trial_name
from sweeps.trial import TrialRecord
from tests.fake_slurm import FakeSlurm
from tests.sweeps.conftest import definition


def record(number, value, *, group=0, seed=0, state="completed", superseded=False):
    return TrialRecord(
        number=number,
        state=state,
        params={},
        values=None if value is None else (value,),
        intermediate_values={},
        metrics={},
        group=group,
        seed=seed,
        attempt=0,
        retry_of=None,
        superseded=superseded,
        folder=Path(),
        started=None,
        completed=None,
        reason="",
        log_tail=(),
        host="",
    )


MAXIMIZE, MINIMIZE = Objective("m", "maximize"), Objective("m", "minimize")


def test_the_best_follows_the_direction():
    rows = [record(0, 0.5, group=0), record(1, 0.7, group=1), record(2, 0.6, group=2)]
    assert best_record(rows, objective=MAXIMIZE).number == 1
    assert best_record(rows, objective=MINIMIZE).number == 0


def test_one_lucky_seed_does_not_choose_the_parameters():
    lucky = [record(0, 0.9, group=0), record(1, 0.1, group=0, seed=1)]
    steady = [record(2, 0.6, group=1), record(3, 0.7, group=1, seed=1)]
    assert best_record([*lucky, *steady], objective=MAXIMIZE).number == 3


def test_a_set_that_lost_a_seed_does_not_win():
    rows = [record(0, 0.9, group=0), record(1, 0.6, group=1), record(2, 0.6, group=1, seed=1)]
    assert best_record(rows, objective=MAXIMIZE).group == 1


def test_pruned_failed_and_superseded_rows_are_never_best():
    rows = [record(0, 0.9, state="pruned"), record(1, None, state="failed"), record(2, 0.9, superseded=True)]
    assert best_record(rows, objective=MAXIMIZE) is None
    assert [row.number for row in results(rows)] == [0, 1]


def test_a_trial_whose_job_waits_in_the_queue_is_interrupted_and_says_so(make_sweep):
    sweep, slurm = make_sweep(), FakeSlurm()
    slurm.add("7_0", "RUNNING")
    job = take(sweep, dataclasses.replace(Claim.mine(), job="7_0"), jobs=Jobs(Queue(slurm)))

    def state():
        rows = sweep.storage.get_all_trials(sweep.study_id, deepcopy=False)
        jobs = Jobs(Queue(slurm), interval=0.0)
        found = read_records(rows, folder=sweep.folder, space=sweep.definition.space, jobs=jobs)[job.number]
        return found.state, found.reason

    assert state() == ("running", "")
    slurm.set("7_0", "PENDING")
    assert state() == ("interrupted", "its job 7_0 waits in the queue, and continues it")
    slurm.set("7_0", "NODE_FAIL")
    assert state()[0] == "interrupted"
    slurm.unreachable = True
    assert state() == ("running", "")


def test_a_thousand_trials_cost_one_question(make_sweep):
    sweep, slurm = make_sweep(trials=3), FakeSlurm()
    for task in range(3):
        slurm.add(f"7_{task}", "RUNNING")
        take(sweep, dataclasses.replace(Claim.mine(), job=f"7_{task}"), jobs=Jobs(Queue(slurm)))
    slurm.commands.clear()
    rows = sweep.storage.get_all_trials(sweep.study_id, deepcopy=False)
    read_records(rows, folder=sweep.folder, space=sweep.definition.space, jobs=Jobs(Queue(slurm)))
    assert [command[0] for command in slurm.commands] == ["squeue"]


def test_a_retry_is_named_with_the_attempt_whose_folder_it_shares():
    first = dataclasses.replace(record(3, 0.5), folder=Path("trials/0003"))
    assert trial_name(first) == "3"
    assert trial_name(dataclasses.replace(first, number=12, retry_of=7)) == "12 (retry of 3)"


def test_slots_left_are_those_that_are_neither_completed_pruned_nor_failed():
    rows = [record(0, 0.5), record(1, None, group=1, state="failed"), record(2, None, group=2, state="interrupted")]
    assert slots_left(rows, definition(trials=5)) == 3
    assert slots_left([record(0, 0.5)], definition(trials=1, seeds=3)) == 2
