"""A storage that outlives a restart of its server: each request is made again until the server answers.

Requests of Optuna are whole transactions, so one that was cut off has left nothing behind, or all of it and only its
acknowledgement is lost. Made again, all but one say the same; `create_new_trial` looks first whether the row is there.
"""

# ruff: noqa: D102 (the requests are Optuna's, and documented there)

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Callable, Container, Sequence
from typing import Any, TypeVar

import optuna
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from nines.errors import StorageError
from sweeps.storage_faults import passes, reason
from sweeps.waiting import Disturbed, never
from sweeps.waiting import pause as wait

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 5.0
REQUEST = "nines:request"

Answer = TypeVar("Answer")


class PatientStorage(optuna.storages.BaseStorage):
    """Passes every request on to `inner`, again and again while its server cannot be reached.

    Args:
        inner: The storage.
        name: What to call it in messages; holds no password.
        patience_seconds: How long a request may be repeated.
        read_rows: Reads all rows of a study faster than `inner` does the first time; None where there is no such way.
    """

    def __init__(
        self,
        inner: optuna.storages.BaseStorage,
        *,
        name: str,
        patience_seconds: float,
        read_rows: Callable[[int], list[FrozenTrial]] | None = None,
    ) -> None:
        self.inner = inner
        self.read_rows = read_rows
        self.name = name
        self.patience_seconds = patience_seconds
        # Whether there is something more urgent than to wait; a worker sets it.
        self.disturbed: Callable[[], bool] = never

    def _ask(self, request: Callable[[], Answer]) -> Answer:
        begun: float | None = None
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                answer = request()
            except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
                if not passes(error):
                    raise StorageError(f"the storage {self.name} failed: {reason(error)}") from error
                self.inner.remove_session()
                now = time.monotonic()
                if begun is None:
                    begun = now
                    patience = f"{self.patience_seconds:.0f} s"
                    say(f"the storage {self.name} does not answer ({reason(error)}); waiting up to {patience} for it")
                if now - begun >= self.patience_seconds:
                    raise StorageError(
                        f"the storage {self.name} has not answered for {now - begun:.0f} s: {reason(error)}"
                    ) from error
                if wait(pause, disturbed=self.disturbed):
                    raise Disturbed(f"the storage {self.name} does not answer: {reason(error)}") from error
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            else:
                if begun is not None:
                    say(f"the storage {self.name} answers again after {time.monotonic() - begun:.1f} s")
                return answer

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        return self._ask(lambda: self.inner.create_new_study(directions, study_name))

    def delete_study(self, study_id: int) -> None:
        self._ask(lambda: self.inner.delete_study(study_id))

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        self._ask(lambda: self.inner.set_study_user_attr(study_id, key, value))

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._ask(lambda: self.inner.set_study_system_attr(study_id, key, value))

    def get_study_id_from_name(self, study_name: str) -> int:
        return self._ask(lambda: self.inner.get_study_id_from_name(study_name))

    def get_study_name_from_id(self, study_id: int) -> str:
        return self._ask(lambda: self.inner.get_study_name_from_id(study_id))

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self._ask(lambda: self.inner.get_study_directions(study_id))

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return self._ask(lambda: self.inner.get_study_user_attrs(study_id))

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self._ask(lambda: self.inner.get_study_system_attrs(study_id))

    def get_all_studies(self) -> list[Any]:
        return self._ask(self.inner.get_all_studies)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Add a row. One with a template carries a mark, by which a repeated request finds what it had added.

        A row without a template is never added twice to any effect: a worker claims the one that it was told of, and
        `sweeps.life_cycle` counts no row that was not claimed.
        """
        if template_trial is None:
            return self._ask(lambda: self.inner.create_new_trial(study_id))
        mark = uuid.uuid4().hex
        template_trial.system_attrs = {**template_trial.system_attrs, REQUEST: mark}
        asked = 0

        def create() -> int:
            nonlocal asked
            asked += 1
            if asked > 1:
                for row in self.inner.get_all_trials(study_id, deepcopy=False):
                    if row.system_attrs.get(REQUEST) == mark:
                        return self.inner.get_trial_id_from_study_id_trial_number(study_id, row.number)
            return self.inner.create_new_trial(study_id, template_trial)

        return self._ask(create)

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        self._ask(lambda: self.inner.set_trial_param(trial_id, param_name, param_value_internal, distribution))

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        return self._ask(lambda: self.inner.get_trial_id_from_study_id_trial_number(study_id, trial_number))

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        return self._ask(lambda: self.inner.set_trial_state_values(trial_id, state, values))

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        self._ask(lambda: self.inner.set_trial_intermediate_value(trial_id, step, intermediate_value))

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._ask(lambda: self.inner.set_trial_user_attr(trial_id, key, value))

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._ask(lambda: self.inner.set_trial_system_attr(trial_id, key, value))

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return self._ask(lambda: self.inner.get_trial(trial_id))

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        return self._ask(lambda: self.inner.get_all_trials(study_id, deepcopy, states))

    def look(self, study_id: int) -> list[FrozenTrial]:
        """All rows, for reading only: the first look is quick, and later ones only read what may have changed."""
        if self.read_rows is None:
            return self.get_all_trials(study_id, deepcopy=False)
        read, self.read_rows = self.read_rows, None
        return self._ask(lambda: read(study_id))

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        return self._ask(lambda: self.inner.get_best_trial(study_id))

    def remove_session(self) -> None:
        self.inner.remove_session()


def say(line: str) -> None:
    """One line on standard error, which is the log of a worker or a trial, or a person's terminal."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201
