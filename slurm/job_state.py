"""SLURM's many names for the state of a job, in the few kinds that decide what to do."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class JobState(enum.Enum):
    """Where a job is in its life."""

    PENDING = "pending"
    RUNNING = "running"
    ENDED = "ended"
    GONE = "gone"  # the scheduler does not know it, or no longer
    UNKNOWN = "unknown"  # the scheduler cannot be asked

    @property
    def may_come_back(self) -> bool:
        """Whether the job runs or will: what it holds is not to be taken from it."""
        return self in (JobState.PENDING, JobState.RUNNING)

    @property
    def over(self) -> bool:
        """Whether the job has ended for certain."""
        return self in (JobState.ENDED, JobState.GONE)


@dataclass(frozen=True)
class JobInfo:
    """What the scheduler says of a job.

    Attributes:
        id: As it was asked for; from `Queue.array_tasks`, `<array>_<task>`.
        state: Its kind of state.
        raw: SLURM's word, such as NODE_FAIL; "" when it has none.
        reason: Why it waits or why it ended, in SLURM's words; why the scheduler cannot be asked, when it cannot.
        nodes: SLURM's list of its nodes, such as `node[1-2]`.
        restarts: How often it was requeued.
        exit_code: SLURM's `code:signal`, "" while it has none.
        seconds_left: Until its time limit; None unless it runs with one.
    """

    id: str
    state: JobState
    raw: str = ""
    reason: str = ""
    nodes: str = ""
    restarts: int = 0
    exit_code: str = ""
    seconds_left: float | None = None


# Final: SLURM itself never runs such a job again. A word that is in neither set counts as running, which takes
# nothing away from anybody: COMPLETING, CONFIGURING, SUSPENDED, RESIZING, SIGNALING, STAGE_OUT, STOPPED …
ENDED = frozenset(
    {
        "COMPLETED",
        "FAILED",
        "CANCELLED",
        "TIMEOUT",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "BOOT_FAIL",
        "DEADLINE",
        "LAUNCH_FAILED",
        "RECONFIG_FAIL",
        "REVOKED",
    }
)
WAITING = frozenset({"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD"})


def state_of(raw: str) -> JobState:
    """The kind of SLURM's word for a state.

    >>> state_of("CANCELLED by 0")
    <JobState.ENDED: 'ended'>
    """
    word = raw.split(" ", 1)[0].rstrip("+").upper()
    if word in ENDED:
        return JobState.ENDED
    return JobState.PENDING if word in WAITING else JobState.RUNNING
