"""Requests are repeated while the server is away, and never do anything twice; a fake server drops connections."""

import optuna
import pytest
import sqlalchemy.exc
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState

from nines.errors import StorageError
from sweeps.patient_storage import PatientStorage
from sweeps.waiting import Disturbed


class ServerClosedTheConnection(Exception):
    """What a driver raises."""


def dropped() -> StorageInternalError:
    error = StorageInternalError("during the commit")
    error.__cause__ = sqlalchemy.exc.OperationalError(
        "SELECT 1", {}, ServerClosedTheConnection("server closed\nthe connection"), connection_invalidated=True
    )
    return error


class DroppingStorage(optuna.storages.InMemoryStorage):
    """Fails the next `before` requests before they do anything, then `after` requests after they have been done."""

    def __init__(self) -> None:
        super().__init__()
        self.before = 0
        self.after = 0

    def create_new_trial(self, study_id, template_trial=None):
        if self.before:
            self.before -= 1
            raise dropped()
        trial_id = super().create_new_trial(study_id, template_trial)
        if self.after:
            self.after -= 1
            raise dropped()
        return trial_id

    def get_study_user_attrs(self, study_id):
        if self.before:
            self.before -= 1
            raise dropped()
        return super().get_study_user_attrs(study_id)


@pytest.fixture
def inner(monkeypatch):
    monkeypatch.setattr("sweeps.patient_storage.FIRST_PAUSE_SECONDS", 0.001)
    return DroppingStorage()


def patient(inner, seconds=30.0):
    return PatientStorage(inner, name="postgresql://u@h/d", patience_seconds=seconds)


def waiting():
    return optuna.trial.create_trial(state=TrialState.WAITING, system_attrs={"fixed_params": {"x": 1}})


def test_a_request_is_repeated_until_the_server_answers(inner, capsys):
    storage = patient(inner)
    study_id = storage.create_new_study([optuna.study.StudyDirection.MAXIMIZE], "s")
    storage.set_study_user_attr(study_id, "a", 1)
    inner.before = 3
    assert storage.get_study_user_attrs(study_id) == {"a": 1}
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert "postgresql://u@h/d does not answer (server closed the connection); waiting up to 30 s" in said[0]
    assert "answers again" in said[1]


@pytest.mark.parametrize(("before", "after"), [(2, 0), (0, 1), (2, 1)])
def test_a_row_is_added_once_though_the_answer_was_lost(inner, before, after):
    storage = patient(inner)
    study_id = storage.create_new_study([optuna.study.StudyDirection.MAXIMIZE], "s")
    storage.create_new_trial(study_id, waiting())
    inner.before, inner.after = before, after
    trial_id = storage.create_new_trial(study_id, waiting())
    rows = storage.get_all_trials(study_id)
    assert [row.system_attrs["fixed_params"] for row in rows] == [{"x": 1}, {"x": 1}]
    assert trial_id == storage.get_trial_id_from_study_id_trial_number(study_id, 1)


def test_patience_ends_in_one_line(inner):
    storage = patient(inner, seconds=0.05)
    study_id = storage.create_new_study([optuna.study.StudyDirection.MAXIMIZE], "s")
    inner.before = 10**9
    with pytest.raises(StorageError, match=r"has not answered for 0 s: server closed the connection$"):
        storage.get_study_user_attrs(study_id)


def test_a_fault_that_stays_is_not_repeated(inner, monkeypatch):
    storage = patient(inner)
    asked = []

    def full(study_id):
        asked.append(study_id)
        raise sqlalchemy.exc.OperationalError("INSERT", {}, DiskFull("no space left"))

    class DiskFull(Exception):
        sqlstate = "53100"

    monkeypatch.setattr(inner, "get_study_user_attrs", full)
    with pytest.raises(StorageError, match=r"^the storage postgresql://u@h/d failed: no space left$"):
        storage.get_study_user_attrs(0)
    assert asked == [0]


def test_what_optuna_says_of_its_own_comes_through(inner):
    storage = patient(inner)
    with pytest.raises(KeyError):
        storage.get_study_id_from_name("nobody")
    study_id = storage.create_new_study([optuna.study.StudyDirection.MAXIMIZE], "s")
    with pytest.raises(optuna.exceptions.DuplicatedStudyError):
        storage.create_new_study([optuna.study.StudyDirection.MAXIMIZE], "s")
    trial_id = storage.create_new_trial(study_id)
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
        storage.set_trial_user_attr(trial_id, "a", 1)


def test_a_study_runs_on_it_as_on_the_storage_itself(inner):
    study = optuna.create_study(
        storage=patient(inner), sampler=optuna.samplers.TPESampler(seed=0), direction="maximize"
    )
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    trial.report(0.5, 1)
    study.tell(trial, 0.7)
    study.enqueue_trial({"x": 0.25})
    assert study.ask().suggest_float("x", 0, 1) == 0.25
    assert study.best_trial.intermediate_values == {1: 0.5}
    assert [t.state for t in study.trials] == [TrialState.COMPLETE, TrialState.RUNNING]


def test_waiting_for_a_server_ends_at_once_when_there_is_something_more_urgent(inner):
    storage = patient(inner, seconds=600.0)
    study = storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], "toy")
    inner.before = 10**6
    urgent = iter([False, False, True])
    storage.disturbed = lambda: next(urgent)
    with pytest.raises(Disturbed, match="does not answer"):
        storage.get_study_user_attrs(study)
    inner.before = 0
    assert storage.get_study_user_attrs(study) == {}
