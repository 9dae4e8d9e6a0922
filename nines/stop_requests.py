"""What this process was asked to do about its end: one record, which signal handlers write and training reads.

Handlers only take note, for saving inside a signal handler can hang. Training looks at points from which a resumed run
goes on to the bit, so a signal that comes during imports or the set-up of data waits there.

SIGINT and SIGUSR1 ask to save and end. So does SIGTERM, except inside a job step of SLURM: there it announces a kill
after some seconds, and whoever exits before tells SLURM that the job is complete, so it asks to save and go on. The
environment variable `NINES_SIGTERM`, `save` or `end`, decides where it is set. SIGHUP, a terminal that was closed, is
met like SIGTERM, unless it is ignored as under `nohup`.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import IntEnum
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
SIGTERM_VARIABLE = "NINES_SIGTERM"


class Stop(IntEnum):
    """A request, the stronger the larger, so that the maximum over all ranks is what they do together."""

    SAVE = 1
    """Write a checkpoint, then go on."""
    END = 2
    """Write a checkpoint, then end as interrupted."""
    LEAVE = 3
    """End and write nothing more: the run belongs to another process now."""


@dataclass
class _Record:
    save: bool = False
    end: bool = False
    leave: bool = False
    cause: str = ""
    installed: bool = False


_record = _Record()


def install() -> None:
    """Take note of stop signals from now on; call it early, and again after a library set handlers of its own.

    Python allows handlers in the main thread alone: elsewhere this does nothing, and signals do what they did.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    _record.installed = True
    for number in SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _note)


def installed() -> bool:
    """Whether `install` was called and not undone by the end of `listening`."""
    return _record.installed


@contextmanager
def listening() -> Iterator[None]:
    """Take note of stop signals inside the block; afterwards handlers are as before, and requests forgotten.

    Inside another such block, or after `install`, it changes nothing: the outer one goes on listening.
    """
    if _record.installed or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    install()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        forget()
        _record.installed = False


def request(stop: Stop, cause: str) -> None:
    """Ask as a signal does.

    Args:
        stop: For what.
        cause: What asks, for a message: the name of a signal, for instance.
    """
    _record.save |= stop is Stop.SAVE
    _record.end |= stop is Stop.END
    _record.leave |= stop is Stop.LEAVE
    _record.cause = cause


def received() -> Stop | None:
    """The strongest request that was not met yet."""
    if _record.leave:
        return Stop.LEAVE
    if _record.end:
        return Stop.END
    return Stop.SAVE if _record.save else None


def take() -> Stop | None:
    """Like `received`, and forget a request to save, so that each is met once.

    Call it right before the checkpoint is written: a request that comes meanwhile asks for another one.
    """
    strongest = received()
    _record.save = False
    return strongest


def cause() -> str:
    """What asked last, for a message; empty if nothing did."""
    return _record.cause


def forget() -> None:
    """Drop all requests."""
    _record.save = _record.end = _record.leave = False
    _record.cause = ""


def meaning(number: int) -> Stop:
    """What signal `number` asks of this process."""
    if number not in (signal.SIGTERM, signal.SIGHUP):
        return Stop.END
    told = os.environ.get(SIGTERM_VARIABLE) or ("save" if "SLURM_STEP_ID" in os.environ else "end")
    return Stop.SAVE if told == "save" else Stop.END


def _note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as `signal` calls it
    """The handler.

    Raises:
        KeyboardInterrupt: A SIGINT after a request to end: the user does not want to wait for the checkpoint.
    """
    if number == signal.SIGINT and _record.end:
        raise KeyboardInterrupt
    request(meaning(number), signal.Signals(number).name)
    if number == signal.SIGINT and os.isatty(2):
        with suppress(OSError):  # `print` is not safe here: the signal may have come inside another one
            os.write(2, b"\nstopping at the next checkpoint; Ctrl-C again stops at once\n")
