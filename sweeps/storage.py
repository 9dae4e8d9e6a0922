"""Where a study is kept: `journal:<file>` (the default, one file in the sweep's folder) or any SQLAlchemy URL."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import optuna
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend, JournalFileOpenLock, JournalStorage

from nines.errors import StorageError, SweepError

JOURNAL = "journal:"

# Seconds after which the lock of a killed process is broken. An append takes milliseconds, a busy network disk seconds.
ABANDONED_LOCK_SECONDS = 10


class _LockHeldOutside:
    """Stands in for the lock of Optuna's own backend, since `WholeLines` already holds the real one."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        return None


class WholeLines(BaseJournalBackend):
    """A journal file that survives a writer killed, or a disk filled, in the middle of a line.

    Optuna's backend appends behind such a torn line, and every reader fails from then on. Here the tail behind the
    last line end is cut off first: its writer died before anybody could have read it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = JournalFileOpenLock(str(path), grace_period=ABANDONED_LOCK_SECONDS)
        self.backend = JournalFileBackend(str(path), lock_obj=_LockHeldOutside())  # type: ignore[arg-type]

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """The whole lines from number `log_number_from` on."""
        return self.backend.read_logs(log_number_from)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append `logs`, after cutting off a torn tail."""
        try:
            self.lock.acquire()
            try:
                self._cut_torn_tail()
                self.backend.append_logs(logs)
            finally:
                self.lock.release()
        except OSError as error:
            raise StorageError(f"cannot write the study {self.path}: {error.strerror or error}") from error

    def _cut_torn_tail(self) -> None:
        with self.path.open("rb+") as file:
            end = file.seek(0, 2)
            if end == 0:
                return
            file.seek(end - 1)
            if file.read(1) == b"\n":
                return
            position = end
            while position > 0:
                start = max(position - 4096, 0)
                file.seek(start)
                found = file.read(position - start).rfind(b"\n")
                if found >= 0:
                    file.truncate(start + found + 1)
                    return
                position = start
            file.truncate(0)


def default_url(folder: Path) -> str:
    """The journal file inside the sweep's `folder`."""
    return f"{JOURNAL}{folder.resolve() / 'study.journal'}"


def absolute_url(url: str) -> str:
    """`url` with the path of a journal or sqlite file made absolute, so that every process finds the same file.

    Raises:
        SweepError: It is neither `journal:<file>` nor a URL.
    """
    if url.startswith(JOURNAL):
        return f"{JOURNAL}{Path(url.removeprefix(JOURNAL)).expanduser().resolve()}"
    if url.startswith("sqlite:///") and not url.startswith("sqlite:////") and ":memory:" not in url:
        return f"sqlite:///{Path(url.removeprefix('sqlite:///')).expanduser().resolve()}"
    if "://" not in url:
        raise SweepError(
            f"storage: {url!r} is neither journal:<file> nor a SQLAlchemy URL such as sqlite:///study.db or "
            "postgresql://user@host/database"
        )
    return url


def open_storage(url: str) -> optuna.storages.BaseStorage:
    """The storage behind `url`, created when missing.

    Raises:
        SweepError: The URL is not understood, or its driver is not installed.
        StorageError: It cannot be reached, read or written.
    """
    url = absolute_url(url)
    if url.startswith(JOURNAL):
        path = Path(url.removeprefix(JOURNAL))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return JournalStorage(WholeLines(path))
        except OSError as error:
            raise StorageError(f"cannot open the study {path}: {error.strerror or error}") from error
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return optuna.storages.RDBStorage(url)
    except ImportError as error:
        raise SweepError(f"storage: the database driver is missing ({error}); install it") from error
    except SQLAlchemyError as error:
        raise StorageError(f"cannot open the storage: {str(error).splitlines()[0]}") from error
