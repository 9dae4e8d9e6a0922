"""One process at a time works in a run folder: a lock that the kernel gives back however its holder ends."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path
from typing import IO

from nines.errors import StorageError

NAME = ".lock"


def lock_folder(folder: Path, *, wait_seconds: float = 0.0) -> IO[str]:
    """Hold `folder` until the returned file is closed, or this process ends in whatever way.

    Args:
        folder: Made when it is missing.
        wait_seconds: How long to wait for a former holder that is just ending.

    Raises:
        StorageError: Another process holds it, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / NAME).open("w")
    except OSError as error:
        raise StorageError(f"cannot write in {folder}: {error.strerror or error}") from error
    end = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= end:
                file.close()
                raise StorageError(f"another process still runs in {folder}; end it first, or wait for it") from error
            time.sleep(0.1)
        else:
            return file


def is_locked(folder: Path) -> bool:
    """Whether some process holds `folder`, on this machine or, where the file system passes locks on, on another."""
    if not (folder / NAME).exists():
        return False
    with (folder / NAME).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(file, fcntl.LOCK_UN)
    return False
