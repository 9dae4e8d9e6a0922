import os
import signal
import time
from pathlib import Path

import pytest

from nines.errors import StorageError
from nines.folder_lock import is_locked, lock_folder


def holder(folder: Path) -> int:
    """A process that holds `folder` until it is killed."""
    child = os.fork()
    if child == 0:
        held = lock_folder(folder)
        time.sleep(60)
        held.close()
        os._exit(0)
    while not is_locked(folder):
        time.sleep(0.01)
    return child


def test_a_second_process_is_refused_in_one_line(tmp_path: Path) -> None:
    child = holder(tmp_path / "run")
    try:
        with pytest.raises(StorageError, match="another process still runs in") as caught:
            lock_folder(tmp_path / "run")
        assert "\n" not in str(caught.value)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_killed_holder_gives_the_folder_back(tmp_path: Path) -> None:
    child = holder(tmp_path)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert not is_locked(tmp_path)
    lock_folder(tmp_path).close()


def test_an_ending_holder_is_waited_for(tmp_path: Path) -> None:
    held = lock_folder(tmp_path)
    child = os.fork()
    if child == 0:
        held.close()
        try:
            lock_folder(tmp_path, wait_seconds=20)
        except StorageError:
            os._exit(1)
        os._exit(0)
    time.sleep(0.3)
    held.close()
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_a_folder_that_nobody_held_is_free(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
