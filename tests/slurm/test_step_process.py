"""A running srun: what it is told, how often, and what becomes of its complaints."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from nines.errors import SchedulerError
from slurm.step_process import KILL_SECONDS, REPEAT_SECONDS, Start, StepProcess


@dataclass
class FakeSrun:
    """An srun that notes what it is sent; `now` is its clock."""

    code: int | None = None
    now: float = 0.0
    sent: list[int] = field(default_factory=list)

    def poll(self) -> int | None:
        return self.code

    def send_signal(self, sig: int) -> None:
        self.sent.append(sig)

    def kill(self) -> None:
        self.sent.append(signal.SIGKILL)

    def after(self, seconds: float, step: StepProcess) -> list[int]:
        """Let so many seconds pass in ten looks; what was sent in them."""
        self.sent.clear()
        for _ in range(10):
            self.now += seconds / 10
            step.poll()
        return list(self.sent)


def stepped() -> tuple[FakeSrun, StepProcess]:
    srun = FakeSrun()
    return srun, StepProcess(srun, clock=lambda: srun.now)


def test_a_wish_to_stop_is_repeated_since_srun_swallows_those_that_come_too_early() -> None:
    srun, step = stepped()
    step.ask_to_stop()
    assert srun.sent == [signal.SIGUSR1]
    assert srun.after(0.9 * REPEAT_SECONDS, step) == []
    assert srun.after(REPEAT_SECONDS, step) == [signal.SIGUSR1]
    srun.code = 0
    assert srun.after(3 * REPEAT_SECONDS, step) == []
    assert step.poll() == 0


def test_asking_twice_is_asking_once() -> None:
    srun, step = stepped()
    step.ask_to_stop()
    step.ask_to_stop()
    assert srun.sent == [signal.SIGUSR1]


def test_an_srun_that_outlives_sigterm_is_killed_and_asked_nothing_meanwhile() -> None:
    srun, step = stepped()
    step.ask_to_stop()
    step.kill()
    step.kill()
    assert srun.sent == [signal.SIGUSR1, signal.SIGTERM]
    assert srun.after(0.99 * KILL_SECONDS, step) == []
    assert set(srun.after(0.5 * KILL_SECONDS, step)) == {signal.SIGKILL}


def test_an_srun_that_has_ended_is_sent_nothing() -> None:
    srun, step = stepped()
    srun.code = 1
    step.ask_to_stop()
    step.kill()
    assert srun.sent == []
    assert step.poll() == 1


def test_complaints_are_those_of_the_newest_start(tmp_path: Path) -> None:
    script = "import os, sys; print(os.environ['WORD'], file=sys.stderr)"
    start = Start([sys.executable, "-c", script], tmp_path / "srun.txt")
    assert start.complaint() == ""
    for word in ("first", "second"):
        process = start({**os.environ, "WORD": word})
        assert isinstance(process, subprocess.Popen)
        assert process.wait() == 0
    assert start.complaint() == "second\n"


def test_a_machine_without_srun_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(SchedulerError, match="no command 'srun'"):
        Start(["no-such-srun"], tmp_path / "srun.txt")({"PATH": str(tmp_path)})
