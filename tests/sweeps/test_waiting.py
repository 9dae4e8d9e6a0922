"""Waiting for a sweep's lock, cut short by something more urgent."""

import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock

from sweeps.waiting import Disturbed, locked, pause


def test_a_lock_that_is_held_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "sweep.lock"
    other = FileLock(path, thread_local=False)
    other.acquire()
    release = threading.Timer(0.3, other.release)
    release.start()
    with locked(path):
        assert not other.is_locked
    release.join()


def test_a_disturbed_wait_ends_and_names_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "sweep.lock"
    with (
        FileLock(path),
        pytest.raises(Disturbed, match=r"another process holds .*sweep\.lock"),
        locked(path, disturbed=lambda: True),
    ):
        raise AssertionError("it got a lock that is held")


def test_a_free_lock_is_taken_whatever_else_is_urgent(tmp_path: Path) -> None:
    with locked(tmp_path / "sweep.lock", disturbed=lambda: True):
        pass


def test_an_error_under_the_lock_gives_it_back(tmp_path: Path) -> None:
    path = tmp_path / "sweep.lock"
    with pytest.raises(ZeroDivisionError), locked(path):
        raise ZeroDivisionError
    with FileLock(path, timeout=0):
        pass


def test_a_pause_says_whether_it_was_cut_short() -> None:
    begun = time.monotonic()
    assert pause(60, disturbed=lambda: True)
    assert time.monotonic() - begun < 5
    assert not pause(0.01, disturbed=lambda: False)
