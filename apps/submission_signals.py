"""Signals while a job is prepared and handed over: until then they end the command, afterwards the job stands."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from nines import stop_requests
from nines.errors import NinesError
from nines.stop_requests import Stop

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(NinesError):
    """A signal ended the command; the exit code is what a shell gives for it."""

    def __init__(self, number: int, said: str) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}; {said}")
        self.exit_code = 128 + number


class SubmissionSignals:
    """What SIGINT, SIGTERM and SIGHUP do to a command that submits a job.

    Before `handing_over` they raise `Stopped` wherever the command is. Inside, the first one waits, so that a job that
    SLURM took is recorded and told; the second one does not, for the controller may take minutes to answer.
    """

    def __init__(self) -> None:
        self._waiting: int | None = None
        self._handing_over = False

    @contextmanager
    def handing_over(self) -> Iterator[None]:
        """The job is being given to SLURM."""
        self._handing_over = True
        try:
            yield
        finally:
            self._handing_over = False
        if self._waiting is not None:
            raise Stopped(self._waiting, "SLURM had the request already: a job that is told above stays in the queue")

    def on_signal(self, number: int, _frame: FrameType | None = None) -> None:
        """The handler.

        Raises:
            Stopped: Nothing has been handed over, or this is the second signal.
        """
        if not self._handing_over:
            raise Stopped(number, "nothing was submitted")
        if self._waiting is not None:
            raise Stopped(number, "the job may have been submitted; squeue tells")
        self._waiting = number


@contextmanager
def ended_by_signals() -> Iterator[SubmissionSignals]:
    """Have signals end the command inside the block, as `SubmissionSignals` says; handlers are put back afterwards.

    Raises:
        Stopped: Also for a signal that `nines.stop_requests` took notice of before, during the imports.
    """
    signals = SubmissionSignals()
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return
    before: dict[signal.Signals, Any] = {number: signal.getsignal(number) for number in ENDING}
    try:
        for number in ENDING:
            if before[number] != signal.SIG_IGN:  # as under nohup
                signal.signal(number, signals.on_signal)
        if stop_requests.received() is Stop.END:
            signals.on_signal(signal.Signals[stop_requests.cause()])
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_quietly() -> None:
    """For a process that works for such a command: a signal, the command's own end included, ends it at once.

    It would have inherited handlers that only take notice, or that raise what its pool takes for a result.
    """
    leave: Callable[[int, FrameType | None], None] = lambda number, _: sys.exit(128 + number)  # noqa: E731
    for number in ENDING:
        signal.signal(number, leave)
