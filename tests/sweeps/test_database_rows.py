"""The quick look at a database gives exactly the rows that Optuna reads."""

import math

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from sweeps.database_rows import read_rows
from sweeps.storage import all_rows, open_storage


@pytest.fixture
def url(tmp_path):
    """A database with a study of every kind of row, and another study beside it."""
    url = f"sqlite:///{tmp_path}/study.db"
    storage = optuna.storages.RDBStorage(url)
    other = optuna.create_study(study_name="other", storage=storage)
    other.tell(other.ask(), 5.0)
    study = optuna.create_study(study_name="s", storage=storage, directions=["maximize", "minimize"])
    distributions = {
        "x": FloatDistribution(1e-5, 1e-3, log=True),
        "n": IntDistribution(1, 9),
        "kind": CategoricalDistribution(["a", None, 3, True]),
    }
    for values, kind in (([0.5, math.inf], None), ([-math.inf, 2.0], True)):
        trial = study.ask(distributions)
        trial.set_user_attr("claim", {"host": "a", "pid": 3})
        trial.set_user_attr("claim", None)
        storage.set_trial_system_attr(trial._trial_id, "fixed_params", {"x": 1e-4, "kind": kind})
        study.tell(trial, values)
    trial = study.ask(distributions)
    for step, value in ((20, 0.5), (10, math.nan), (30, math.inf)):
        storage.set_trial_intermediate_value(trial._trial_id, step, value)
    study.tell(study.ask(), state=TrialState.PRUNED)
    study.tell(study.ask(distributions), state=TrialState.FAIL)
    study.enqueue_trial({"x": 2e-4})
    return url


def test_the_rows_are_those_that_optuna_reads(url):
    storage = optuna.storages.RDBStorage(url)
    study_id = storage.get_study_id_from_name("s")
    expected = storage.get_all_trials(study_id)
    found = read_rows(storage.engine, study_id)
    assert {row.state for row in found} == set(TrialState)
    # NaN is unlike itself; all else is compared as it is, datetimes and the order of parameters included.
    assert math.isnan(found[2].intermediate_values.pop(10))
    assert math.isnan(expected[2].intermediate_values.pop(10))
    assert found == expected
    assert [list(row.params.items()) for row in found] == [list(row.params.items()) for row in expected]
    assert [row.values for row in found][:2] == [[0.5, math.inf], [-math.inf, 2.0]]


def test_a_second_look_sees_what_has_changed(url):
    storage = open_storage(url)
    study_id = storage.get_study_id_from_name("s")
    assert len(all_rows(storage, study_id)) == 6
    again = optuna.load_study(study_name="s", storage=url)
    again.tell(2, [1.0, 2.0])
    again.ask()
    second, third = all_rows(storage, study_id), all_rows(storage, study_id)
    assert [row.state for row in second] == [row.state for row in third]
    assert (second[2].values, second[2].state) == ([1.0, 2.0], TrialState.COMPLETE)
    assert second[5].state == TrialState.RUNNING


def test_a_storage_that_was_looked_at_can_be_written_to(url):
    storage = open_storage(url)
    study_id = storage.get_study_id_from_name("s")
    all_rows(storage, study_id)
    study = optuna.load_study(study_name="s", storage=storage, sampler=optuna.samplers.RandomSampler(seed=0))
    trial = study.ask()
    trial.suggest_float("x", 1e-5, 1e-3, log=True)
    study.tell(trial, [0.1, 0.2])
    assert all_rows(storage, study_id)[trial.number].values == [0.1, 0.2]
