"""What a worker is told to do, by signals and by the mark of a cancelled sweep; for workers outside of jobs."""

from __future__ import annotations

import enum
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Protocol

from sweeps.life_cycle import CANCELLED, CANCELS
from sweeps.study import Sweep
from sweeps.waiting import Disturbed

STOPPED = 130
# The mark in the folder costs a look at a file, the one in the study a question to the storage.
FOLDER_SECONDS, STUDY_SECONDS = 0.2, 10.0


class Order(enum.Enum):
    """What to do now."""

    WORK = "take trials and run them"
    HOLD = "take no new ones; those that run go on until they end or are killed"
    STOP = "have those that run save a checkpoint and end, then conclude"
    STOP_AT_ONCE = "end those that run without a checkpoint, then conclude"
    LEAVE = "end now, whatever runs"


class Orders(Protocol):
    """Where orders come from."""

    def look(self) -> Order:
        """What to do now; to be asked many times a second."""

    def signals(self) -> Order:
        """What signals alone say; asks nobody, so it is told while a storage does not answer."""

    def interrupted(self) -> None:
        """Take notice that a trial was interrupted although the worker did not ask for it."""

    def conclude(self, work_left: Callable[[], bool]) -> int:
        """Do what is to be done when everything has stopped; returns the worker's exit code.

        Args:
            work_left: Whether another worker would find something to do.
        """


class CancelledMark:
    """Whether the sweep was cancelled, looked at no more often than is cheap.

    Who has seen it stays cancelled, although the sweep may have been started again meanwhile: that start has workers
    of its own.

    Args:
        sweep: The open sweep.
    """

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep
        self.seen = False
        self._folder_at = self._study_at = float("-inf")
        self._cancels: int | None = None

    def look(self) -> bool:
        """Whether the sweep is cancelled, or was since the first look."""
        now = time.monotonic()
        if not self.seen and now - self._folder_at >= FOLDER_SECONDS:
            self._folder_at = now
            self.seen = (self.sweep.folder / CANCELLED).exists()
        # Whoever cancels where only the storage is to be seen can leave no file, and one that is taken away again soon
        # may never be seen.
        if not self.seen and now - self._study_at >= STUDY_SECONDS:
            self._study_at = now
            try:
                attributes = self.sweep.storage.get_study_user_attrs(self.sweep.study_id)
            except Disturbed:
                return self.seen  # the job was told something else, which counts now
            cancels = int(attributes.get(CANCELS, 0))
            self._cancels = cancels if self._cancels is None else self._cancels
            self.seen = bool(attributes.get(CANCELLED)) or cancels != self._cancels
        return self.seen


class LocalOrders:
    """The first SIGINT, SIGTERM or SIGHUP stops the worker, and so does cancelling; the second signal stops it at once.

    Args:
        sweep: The open sweep.
    """

    def __init__(self, sweep: Sweep) -> None:
        self.stop_requests = 0
        self._cancelled = CancelledMark(sweep)

    def install(self) -> LocalOrders:
        """Take the signals from now on. Returns this object."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        return self

    def look(self) -> Order:
        """See the class."""
        order = self.signals()
        # Whoever cancels marks the sweep and sends a signal besides: together they are one wish.
        return Order.STOP if order is Order.WORK and self._cancelled.look() else order

    def signals(self) -> Order:
        """One stops, more stop at once."""
        return (Order.WORK, Order.STOP, Order.STOP_AT_ONCE)[min(self.stop_requests, 2)]

    def interrupted(self) -> None:
        """Somebody stopped that trial alone; the worker goes on."""

    def conclude(self, work_left: Callable[[], bool]) -> int:  # noqa: ARG002 - as `Orders` has it
        """Nothing to do but to say so."""
        return STOPPED

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.stop_requests += 1
