"""The journal file of a study, on a local or a shared disk: appended under a lock, and mended after a torn write."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend, JournalFileBackend, JournalFileOpenLock

from nines.errors import StorageError

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

    The lock is a file made with O_EXCL, which every machine that mounts the folder respects, NFSv3 and newer included.
    It knows no owner: one that stays for `ABANDONED_LOCK_SECONDS` is that of a process that was killed, and is broken.

    Args:
        path: Absolute path of the file; made when missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = JournalFileOpenLock(str(path), grace_period=ABANDONED_LOCK_SECONDS)
        self.backend = JournalFileBackend(str(path), lock_obj=_LockHeldOutside())  # type: ignore[arg-type]

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """The whole lines from number `log_number_from` on."""
        return self.backend.read_logs(log_number_from)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append `logs`, after cutting off a torn tail.

        Raises:
            StorageError: The disk refused the write.
        """
        try:
            self.lock.acquire()
            try:
                self._cut_torn_tail()
                self.backend.append_logs(logs)
            finally:
                # Somebody may have broken the lock of a process that stood still for so long, as one that is
                # suspended does; its line is whole all the same, since each append is one write.
                with contextlib.suppress(RuntimeError):
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
