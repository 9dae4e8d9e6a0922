"""What the scheduler has told this job: that its end is near, or that it is being ended.

For the process that *is* the batch step. The ranks of a step have their own, `nines.stop_requests`.
"""

from __future__ import annotations

import signal
import time
from types import FrameType

from slurm.current import CurrentJob


class Notices:
    """Notes the signals that SLURM sends to the batch step; what to do about them is the caller's.

    SIGUSR1 (`sbatch --signal=B:USR1@seconds`) comes to this process alone, before the time limit (up to a minute
    earlier than asked) and at preemption where the cluster has `preempt_send_user_signal`. SIGTERM comes to the ranks
    as well: at `scancel`, at a requeue, when the grace time or the time limit is over, and at once at preemption
    elsewhere; SIGKILL follows after the cluster's KillWait. `scancel --signal=USR1 <job>` reaches only the ranks.

    Args:
        job: The job of this process, None outside SLURM.
        signal_seconds: How long before its time limit the job counts as ending.
    """

    def __init__(self, job: CurrentJob | None = None, *, signal_seconds: float = 120.0) -> None:
        self.job = job
        self.signal_seconds = signal_seconds
        self.warned = False
        self.terminated = False

    def install(self) -> Notices:
        """Take SIGUSR1 and SIGTERM from now on; only the main thread may do so. Returns this object."""
        signal.signal(signal.SIGUSR1, self._on_warning)
        signal.signal(signal.SIGTERM, self._on_termination)
        return self

    @property
    def ending(self) -> bool:
        """Whether the job will soon be ended: SIGUSR1 came, or the time limit is near."""
        return self.warned or self._time_nearly_over()

    def _time_nearly_over(self) -> bool:
        left = None if self.job is None else self.job.seconds_left(time.time())
        return left is not None and left < self.signal_seconds

    def _on_warning(self, _number: int, _frame: FrameType | None) -> None:
        self.warned = True

    def _on_termination(self, _number: int, _frame: FrameType | None) -> None:
        self.terminated = True
