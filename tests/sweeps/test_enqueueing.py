"""Rows that wait for a worker."""

from optuna.trial import TrialState

from sweeps.enqueueing import enqueue, enqueue_retry
from sweeps.settling import rows_of


def test_a_waiting_row_has_its_parameters_from_the_first_moment(make_sweep):
    sweep = make_sweep()
    enqueue(sweep, {"x": 0.25}, {"group": 0, "seed": 0, "attempt": 0})
    (row,) = rows_of(sweep)
    assert row.state == TrialState.WAITING
    assert row.user_attrs == {"group": 0, "seed": 0, "attempt": 0}
    trial = sweep.study().ask()
    assert (trial.number, trial.suggest_float("x", 0, 1)) == (0, 0.25)


def test_a_retry_keeps_slot_folder_and_reports_and_counts_on(make_sweep):
    sweep = make_sweep()
    trial = sweep.study().ask()
    x = trial.suggest_float("x", 0, 1)
    for name, value in {"group": 3, "seed": 1, "folder": "trials/0000", "claim": {"pid": 1}, "reason": "died"}.items():
        trial.set_user_attr(name, value)
    trial.report(0.5, step=10)
    enqueue_retry(sweep, rows_of(sweep)[0], retries_used=1)
    retry = rows_of(sweep)[1]
    assert retry.user_attrs == {
        **{"group": 3, "seed": 1, "folder": "trials/0000"},
        **{"attempt": 1, "retries_used": 1, "retry_of": 0},
    }
    assert retry.intermediate_values == {10: 0.5}
    assert retry.system_attrs["fixed_params"] == {"x": x}


def test_a_row_whose_worker_died_while_it_restored_parameters_is_retried_with_all_of_them(make_sweep):
    sweep = make_sweep(space={"x": "interval(0, 1)", "y": "interval(0, 1)"})
    enqueue(sweep, {"x": 0.25, "y": 0.75}, {"group": 0, "seed": 0, "attempt": 0})
    sweep.study().ask().suggest_float("x", 0, 1)  # and no further
    enqueue_retry(sweep, rows_of(sweep)[0], retries_used=1)
    assert rows_of(sweep)[1].system_attrs["fixed_params"] == {"x": 0.25, "y": 0.75}
