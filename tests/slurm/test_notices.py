import os
import signal
import time
from collections.abc import Iterator

import pytest

from slurm.current import CurrentJob
from slurm.notices import Notices


@pytest.fixture
def notices() -> Iterator[Notices]:
    before = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGTERM)}
    yield Notices().install()
    for number, handler in before.items():
        signal.signal(number, handler)


def test_nothing_was_said_at_first(notices: Notices) -> None:
    assert not notices.ending
    assert not notices.terminated


def test_usr1_means_that_the_end_is_near(notices: Notices) -> None:
    os.kill(os.getpid(), signal.SIGUSR1)
    assert notices.ending
    assert not notices.terminated


def test_sigterm_means_that_slurm_ends_the_job_and_is_survived(notices: Notices) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    assert notices.terminated
    assert not notices.ending


@pytest.mark.parametrize(("seconds_left", "ending"), [(30.0, True), (90.0, False)])
def test_the_clock_says_so_too(seconds_left: float, ending: bool) -> None:
    job = CurrentJob("7", "7", end=time.time() + seconds_left)
    assert Notices(job, signal_seconds=60).ending is ending


def test_a_job_without_a_limit_never_ends_by_the_clock() -> None:
    assert not Notices(CurrentJob("7", "7"), signal_seconds=60).ending
