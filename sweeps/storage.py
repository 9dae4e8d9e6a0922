"""Where a study is kept: `journal:<file>` (the default, one file in the sweep's folder) or any SQLAlchemy URL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import optuna
from optuna.storages.journal import JournalStorage

from nines.errors import StorageError, SweepError
from sweeps.journal import WholeLines
from sweeps.storage_url import JOURNAL, absolute_url

PATIENCE_SECONDS = 600.0


def open_storage(
    url: str, *, wait_seconds: float = 0.0, patience_seconds: float = PATIENCE_SECONDS
) -> optuna.storages.BaseStorage:
    """The storage behind `url`, created when missing.

    Args:
        url: `journal:<file>` or a SQLAlchemy URL. A password in it is moved to the environment.
        wait_seconds: How long to wait for a database server that does not answer yet.
        patience_seconds: How long each later request waits for one that went away, see `sweeps.patient_storage`.

    Raises:
        SweepError: The URL is not understood, its driver is not installed, or the server refuses the password.
        StorageError: It cannot be reached, read or written.
    """
    url = absolute_url(url)
    if not url.startswith(JOURNAL):
        from sweeps.database import open_database

        return open_database(url, wait_seconds=wait_seconds, patience_seconds=patience_seconds)
    path = Path(url.removeprefix(JOURNAL))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(WholeLines(path))
    except OSError as error:
        raise StorageError(f"cannot open the study {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise StorageError(f"{path} is not the journal of a study ({error})") from error


def open_existing(url: str) -> optuna.storages.BaseStorage:
    """The storage behind `url`, whose file is not created when missing.

    Raises:
        SweepError: As `open_storage`, or there is no such file.
        StorageError: It cannot be reached or read.
    """
    url = absolute_url(url)
    for prefix in (JOURNAL, "sqlite:///"):
        if url.startswith(prefix) and not Path(url.removeprefix(prefix)).is_file():
            raise SweepError(f"there is no storage {url}")
    return open_storage(url)


def let_disturb(storage: optuna.storages.BaseStorage, disturbed: Callable[[], bool]) -> None:
    """Have requests that wait for a server raise `Disturbed` as soon as `disturbed` says so."""
    if isinstance(storage, JournalStorage):
        return  # a file is never waited for
    from sweeps.patient_storage import PatientStorage

    if isinstance(storage, PatientStorage):
        storage.disturbed = disturbed


def all_rows(storage: optuna.storages.BaseStorage, study_id: int) -> list[optuna.trial.FrozenTrial]:
    """All rows of a study in order of their number, for reading only, in the quickest way that the storage has."""
    if isinstance(storage, JournalStorage):
        return storage.get_all_trials(study_id, deepcopy=False)
    from sweeps.patient_storage import PatientStorage

    return (
        storage.look(study_id)
        if isinstance(storage, PatientStorage)
        else storage.get_all_trials(study_id, deepcopy=False)
    )
