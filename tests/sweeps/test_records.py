from pathlib import Path

from sweeps.definition import Objective
from sweeps.records import best_record, results
from sweeps.trial import TrialRecord


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
