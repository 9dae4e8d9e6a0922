"""A job puts itself back into the queue, unless it is being ended: a requeue would undo `scancel`.

SLURM takes a cancelled job back that is only just completing. So each try is preceded by both signs of an end: SIGTERM
at this process, and the state of the job, since the controller knows of `scancel` before the signal arrives.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable

from nines.errors import SchedulerUnreachable
from slurm.job_state import JobState
from slurm.queue import Queue

# How long an unreachable controller is asked again, and how often; the job's last minutes pass meanwhile.
PATIENCE_SECONDS = 120.0
AGAIN_SECONDS = 2.0
# How often SIGTERM is looked for between two tries.
LOOK_SECONDS = 0.2
# What ends the job already. COMPLETING among it: the job did not ask for that, or it asked and only the answer is lost.
COMPLETING = "COMPLETING"


class GoingBack(enum.Enum):
    """What came of it; either way SLURM ends the job soon, and the caller waits for that."""

    ASKED = "goes back into the queue"
    ENDED = "is being ended by SLURM and is not put back"


def put_back(
    queue: Queue,
    job: str,
    *,
    terminated: Callable[[], bool],
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> GoingBack:
    """Requeue the caller's own job.

    Args:
        queue: The scheduler, see `Queue.asking_once`: repeating is done here, where SIGTERM is seen.
        job: The job's id.
        terminated: Whether SIGTERM has come.
        sleep: Waits.
        clock: Seconds from any origin.

    Raises:
        SchedulerError: SLURM refused, or could not be reached for `PATIENCE_SECONDS`.
    """
    begun = clock()
    while True:
        if terminated():
            return GoingBack.ENDED
        info = queue.look([job])[job]
        if terminated() or info.state is JobState.ENDED or info.raw == COMPLETING:
            return GoingBack.ENDED
        problem = _ask(queue, job) if info.state is not JobState.UNKNOWN else SchedulerUnreachable(info.reason)
        if problem is None:
            return GoingBack.ASKED
        if clock() - begun > PATIENCE_SECONDS:
            raise problem
        again = clock() + AGAIN_SECONDS
        while clock() < again and not terminated():
            sleep(LOOK_SECONDS)


def _ask(queue: Queue, job: str) -> SchedulerUnreachable | None:
    """Request it once; returns why nobody answered."""
    try:
        queue.requeue(job)
    except SchedulerUnreachable as error:
        return error
    return None
