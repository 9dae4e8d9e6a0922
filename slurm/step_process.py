"""The process of a running srun: started with complaints in a file of their own, asked to stop, and killed."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nines.errors import SchedulerError

# How long a step that cannot start is tried again.
START_SECONDS = 600.0
# srun swallows a signal that comes before its tasks run.
REPEAT_SECONDS = 5.0
# After SIGTERM srun kills its tasks and waits for them; a node that does not answer is not waited for.
KILL_SECONDS = 30.0


class Process(Protocol):
    """A running process, as `subprocess.Popen` is one."""

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        ...

    def send_signal(self, sig: int) -> None:
        """Send a signal."""
        ...

    def kill(self) -> None:
        """Send SIGKILL."""
        ...


@dataclass(frozen=True)
class Start:
    """Starts an srun, whose complaints go into a file of their own besides the job's log.

    Attributes:
        command: Its words.
        complaints: File for its standard error; overwritten.
    """

    command: Sequence[str]
    complaints: Path

    def __call__(self, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start it with the variables `environment`.

        Raises:
            SchedulerError: There is no srun.
        """
        with self.complaints.open("wb") as errors:
            try:
                return subprocess.Popen(
                    list(self.command), stdin=subprocess.DEVNULL, stderr=errors, env=dict(environment)
                )
            except FileNotFoundError as error:
                raise SchedulerError("there is no command 'srun' here; is this a machine of the cluster?") from error

    def complaint(self) -> str:
        """What it said."""
        return self.complaints.read_text(encoding="utf-8", errors="replace") if self.complaints.exists() else ""


class StepProcess:
    """A running srun that can be asked to stop, again until it does, and killed.

    Args:
        process: The srun.
        clock: Seconds from any origin.
    """

    def __init__(self, process: Process, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.process = process
        self.clock = clock
        self._told_at: float | None = None
        self._killed_at: float | None = None

    def poll(self) -> int | None:
        """The exit code, None while it runs. To be called often: what was asked for is repeated here."""
        code = self.process.poll()
        if code is not None:
            return code
        if self._killed_at is not None:
            if self.clock() - self._killed_at > KILL_SECONDS:
                self.process.kill()
        elif self._told_at is not None and self.clock() - self._told_at > REPEAT_SECONDS:
            self._tell()
        return None

    def ask_to_stop(self) -> None:
        """Send SIGUSR1, which srun passes on to every rank; further calls change nothing."""
        if self._told_at is None and self.process.poll() is None:
            self._tell()

    def kill(self) -> None:
        """Send SIGTERM to srun, which then kills every rank, and SIGKILL if that does not end it."""
        if self._killed_at is None and self.process.poll() is None:
            self._killed_at = self.clock()
            self.process.send_signal(signal.SIGTERM)

    def _tell(self) -> None:
        self._told_at = self.clock()
        self.process.send_signal(signal.SIGUSR1)
