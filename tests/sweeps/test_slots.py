import optuna
import pytest
from optuna.trial import TrialState

from sweeps.slots import Slots
from tests.sweeps.conftest import definition

ENDED = {TrialState.COMPLETE: 0.5, TrialState.PRUNED: None, TrialState.FAIL: None}


def row(group, seed=0, attempt=0, state=TrialState.COMPLETE, **attributes):
    frozen = optuna.trial.create_trial(
        state=state,
        value=ENDED.get(state),
        user_attrs={"group": group, "seed": seed, "attempt": attempt, **attributes},
    )
    frozen.number = 100 * group + 10 * seed + attempt
    return frozen


def slots(*rows, **changes):
    return Slots.read(rows, definition(**changes))


def test_the_newest_attempt_stands_for_its_slot_and_rows_without_a_set_for_none():
    nobody = optuna.trial.create_trial(state=TrialState.FAIL)
    read = slots(row(0, attempt=1, state=TrialState.RUNNING), row(0, state=TrialState.FAIL), nobody)
    assert {slot: one.user_attrs["attempt"] for slot, one in read.newest.items()} == {(0, 0): 1}
    assert read.active()
    assert read.failed() == []


@pytest.mark.parametrize("state", [TrialState.RUNNING, TrialState.COMPLETE, TrialState.FAIL, TrialState.WAITING])
def test_a_row_that_waits_beside_another_of_the_same_attempt_is_surplus(state):
    first, second = row(0, attempt=1, state=state), row(0, attempt=1, state=TrialState.WAITING)
    second.number = 7
    for rows in ([first, second], [second, first]):
        read = slots(row(0, state=TrialState.FAIL), *rows)
        assert [one.number for one in read.surplus] == [7]
        assert read.standing_for(second) is first


def test_a_row_that_waits_behind_a_later_attempt_is_surplus_and_the_newest_one_is_not():
    assert [
        one.user_attrs["attempt"]
        for one in slots(row(0, attempt=1, state=TrialState.WAITING), row(0, attempt=2, state=TrialState.FAIL)).surplus
    ] == [1]
    assert slots(row(0, state=TrialState.FAIL), row(0, attempt=1, state=TrialState.WAITING)).surplus == ()


@pytest.mark.parametrize(
    ("attributes", "to_retry", "never_started"),
    [
        ({"retry": True, "claim": {}}, True, False),
        ({"retry": True, "claim": {}, "retries_used": 2}, False, False),
        ({"retry": False, "claim": {}}, False, False),
        ({"retry": True}, False, True),
        ({"retry": True, "retries_used": 2}, False, True),
    ],
)
def test_a_failure_of_the_process_is_retried_while_the_allowance_lasts(attributes, to_retry, never_started):
    read = slots(row(0, state=TrialState.FAIL, **attributes), retries=2)
    assert (len(read.to_retry()), len(read.never_started())) == (to_retry, never_started)


def test_new_sets_follow_those_that_have_begun_until_all_have():
    assert slots(trials=2).next_group() == 0
    assert slots(row(0), trials=2).next_group() == 1
    assert slots(row(0), row(1), trials=2).next_group() is None


def test_a_grid_has_no_more_sets_than_combinations():
    read = slots(space={"x": "choice(1, 2)"}, sampler="grid", trials=99)
    assert read.groups == 2


def test_the_first_seed_that_a_set_lacks_is_the_next_repeat():
    read = slots(row(0), row(0, seed=1), row(1), seeds=3)
    first, seed = read.missing_repeat()
    assert (first.user_attrs["group"], seed) == (0, 2)
    assert slots(row(0), row(0, seed=1), seeds=2).missing_repeat() is None


@pytest.mark.parametrize(
    ("state", "pruner", "repeats"),
    [
        (TrialState.COMPLETE, "median", True),
        (TrialState.PRUNED, "median", False),
        (TrialState.RUNNING, "median", False),
        (TrialState.RUNNING, "none", True),
        (TrialState.FAIL, "none", False),
    ],
)
def test_repeats_wait_for_a_first_seed_that_may_be_pruned_and_do_not_follow_a_bad_one(state, pruner, repeats):
    read = slots(row(0, state=state), seeds=2, pruner=pruner)
    assert (read.missing_repeat() is not None) == repeats
