"""What a worker that is the batch step of a SLURM job is told to do, and how such a job ends.

Three ways to end, which SLURM tells apart by what comes after: before its time limit the job saves and puts itself
back into the queue; after SIGTERM it must not end by itself, which SLURM would record as complete, nor go back into
the queue, which would undo `scancel`; after `nines sweep cancel` it ends for good.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from nines.errors import SchedulerError, StorageError
from slurm.current import CurrentJob
from slurm.notices import Notices
from slurm.queue import Queue
from slurm.requeueing import put_back
from sweeps.orders import CancelledMark, Order
from sweeps.study import Sweep

TERMINATED = 143
FAILED = 1
# SLURM kills within KillWait or the grace time of a preemption. If it does not, somebody else sent the signal.
HOLD_SECONDS = 600.0
POLL_SECONDS = 0.2


class JobOrders:
    """Orders from the scheduler.

    Args:
        sweep: The open sweep.
        notices: What the scheduler told the job; installed already.
        job: The job of this process.
        queue: The scheduler, to put the job back; see `put_back` about its patience.
        requeue: Whether to do so.
        say: Writes a line into the worker's log.
    """

    def __init__(
        self,
        sweep: Sweep,
        notices: Notices,
        job: CurrentJob,
        *,
        queue: Queue,
        requeue: bool,
        say: Callable[[str], None],
    ) -> None:
        self.notices = notices
        self.job = job
        self.queue = queue
        self.requeue = requeue
        self.say = say
        self._cancelled = CancelledMark(sweep)
        self._interrupted = False
        self._hold_until: float | None = None
        self._last = Order.WORK

    def look(self) -> Order:
        """SIGTERM goes before all else: what was asked to save goes on saving, and the job waits to be killed."""
        order = self._decide()
        if order is not self._last:
            self.say(f"from now on: {order.value}")
            self._last = order
        return order

    def interrupted(self) -> None:
        """SIGUSR1 was sent to the ranks alone, as `scancel --signal` does: the user means the whole job."""
        self._interrupted = True

    def conclude(self, work_left: Callable[[], bool]) -> int:
        """Go back into the queue if something is left to do; then SLURM kills this process."""
        if self._cancelled.look() or not self._is_left(work_left):
            return 0
        if not self.requeue:
            self.say("its time is over, work is left, and the job may not be put back into the queue (requeue=false)")
            return 0
        try:
            # The storage may have taken minutes to answer, and SIGTERM come meanwhile.
            what = put_back(self.queue, self.job.id, terminated=lambda: self.notices.terminated)
        except SchedulerError as error:
            self.say(f"error: {error}; start more workers with `nines sweep`")
            return FAILED
        self.say(f"job {self.job.id} {what.value}")
        end = time.monotonic() + HOLD_SECONDS
        while time.monotonic() < end:
            time.sleep(POLL_SECONDS)
        return TERMINATED

    def signals(self) -> Order:
        """SIGTERM first, then a notice of the end, by the clock, too, or one that only the ranks got."""
        if self.notices.terminated:
            now = time.monotonic()
            if self._hold_until is None:
                self._hold_until = now + HOLD_SECONDS
            return Order.HOLD if now < self._hold_until else Order.LEAVE
        return Order.STOP if self.notices.ending or self._interrupted else Order.WORK

    def _decide(self) -> Order:
        order = self.signals()
        return Order.STOP if order is Order.WORK and self._cancelled.look() else order

    def _is_left(self, work_left: Callable[[], bool]) -> bool:
        try:
            return work_left()
        except StorageError as error:
            self.say(f"taken to have work left, since nobody can be asked: {error}")
            return True
