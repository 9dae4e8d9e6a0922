"""The one way to run a command of SLURM: with a time limit, and again while the controller does not answer."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from nines.errors import SchedulerError, SchedulerUnreachable

# The request never arrived: asking again cannot do anything twice.
NOT_SENT = (
    "Unable to contact slurm controller",
    "Slurm temporarily unable to accept job",
    "Slurm backup controller in standby mode",
    "Unable to establish controller machine",
    "Connection refused",
    "Slurm controller not responding",
)
# It may have arrived. Only commands that do no harm when they are done twice are asked again.
NOT_ANSWERED = (
    "Socket timed out on send/recv operation",
    "Zero Bytes were transmitted or received",
    "Transport endpoint is not connected",
    "Unexpected message received",
)
FIRST_DELAY = 1.0
LONGEST_DELAY = 15.0


@dataclass(frozen=True)
class Finished:
    """How a command ended.

    Attributes:
        code: Its exit code.
        output: Its standard output.
        errors: Its standard error.
    """

    code: int
    output: str = ""
    errors: str = ""

    @property
    def complaint(self) -> str:
        """The first line of its standard error that says something."""
        return next((line.strip() for line in self.errors.splitlines() if line.strip()), f"exit code {self.code}")


class CommandRunner(Protocol):
    """Runs a command; tests have their own, see `tests.fake_slurm`."""

    def __call__(
        self, command: Sequence[str], *, stdin: str | None = None, environment: Mapping[str, str] | None = None
    ) -> Finished:
        """Run `command`, whatever its exit code; SchedulerError when the scheduler cannot be reached."""
        ...


class SystemCommands:
    """Runs commands on this machine.

    Args:
        timeout: Seconds that one attempt may take.
        patience: Seconds during which an unreachable controller is asked again; 0 asks once.
        sleep: Waits between attempts.
    """

    def __init__(
        self, *, timeout: float = 60.0, patience: float = 120.0, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.timeout = timeout
        self.patience = patience
        self.sleep = sleep

    def __call__(
        self, command: Sequence[str], *, stdin: str | None = None, environment: Mapping[str, str] | None = None
    ) -> Finished:
        """Run `command` until it gets through to the controller.

        Raises:
            SchedulerUnreachable: It takes too long, or `patience` is used up.
            SchedulerError: The command does not exist.
        """
        delay, waited = FIRST_DELAY, 0.0
        while True:
            finished = self._once(command, stdin=stdin, environment=environment)
            if not unreachable(command, finished):
                return finished
            if waited >= self.patience:
                raise SchedulerUnreachable(f"{command[0]}: the SLURM controller does not answer: {finished.complaint}")
            self.sleep(delay)
            waited += delay
            delay = min(2 * delay, LONGEST_DELAY)

    def _once(self, command: Sequence[str], *, stdin: str | None, environment: Mapping[str, str] | None) -> Finished:
        # Messages are recognised by their English text.
        variables = {**(os.environ if environment is None else environment), "LC_ALL": "C.UTF-8"}
        try:
            done = subprocess.run(
                list(command),
                # A command must not read what is meant for the process that calls it.
                **({"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}),
                capture_output=True,
                text=True,
                errors="replace",
                timeout=self.timeout,
                env=variables,
                check=False,
            )
        except FileNotFoundError as error:
            raise SchedulerError(
                f"there is no command {command[0]!r} here; is this a machine of the cluster?"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise SchedulerUnreachable(f"{command[0]} did not finish within {self.timeout:.0f} s") from error
        return Finished(done.returncode, done.stdout, done.stderr)


def unreachable(command: Sequence[str], finished: Finished) -> bool:
    """Whether `finished` says that the controller did not take the request, and it may be made again."""
    if finished.code == 0:
        return False
    again = NOT_SENT if command[0] == "sbatch" else (*NOT_SENT, *NOT_ANSWERED)
    return any(message in finished.errors for message in again)


def available() -> bool:
    """Whether this machine has SLURM's commands to submit and to look."""
    return shutil.which("sbatch") is not None and shutil.which("squeue") is not None
