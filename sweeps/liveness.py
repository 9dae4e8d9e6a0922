"""Whether the holders of claims still live: the process table for this machine's own, the scheduler for its jobs.

A preempted job that waits in the queue is alive, however silent it is, and a process of another machine cannot be
asked, so it counts as gone when its run folder has been silent for very long.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from nines.folder_lock import is_locked
from nines.run_folder import RunFolder
from slurm.commands import available
from slurm.queue import JobState, Queue
from sweeps.claims import Claim

# A running trial writes its status several times a minute, but for one long validation or a first set-up.
FOREIGN_SILENCE_SECONDS = 900.0
# A scheduler that does not know a job may have lost its memory, or be another cluster's: then the run speaks for it.
UNKNOWN_JOB_SILENCE_SECONDS = 60.0
# An answer that is a little old takes nothing from anybody: jobs that were over stay over.
ASK_SECONDS = 10.0
# The next trial must not wait for a busy controller; whoever looks after this one asks again.
ANSWER_SECONDS = 20.0


class Jobs:
    """What the scheduler says of jobs, asked for all of them at once and at most once in `interval` seconds.

    Args:
        queue: The scheduler; None where this machine has none.
        own: Id of the job that asks, empty outside of jobs. It is alive, and needs no question.
        interval: Seconds between two questions, unless a job comes up that was never asked about.
    """

    def __init__(self, queue: Queue | None, *, own: str = "", interval: float = ASK_SECONDS) -> None:
        self.queue = queue
        self.own = own
        self.interval = interval
        self._asked = float("-inf")
        # With the count of requeues: an answer about a job that had ended says nothing of it after it was put back.
        self._states: dict[tuple[str, int], JobState] = {}

    @classmethod
    def of_this_machine(cls, *, own: str = "") -> Jobs:
        """Those of the scheduler whose commands are installed here, if any are."""
        queue = Queue.asking_once(timeout=ANSWER_SECONDS) if available() else None
        return cls(queue, own=own)

    def ask(self, claims: Iterable[Claim]) -> None:
        """Ask about the jobs of `claims`, unless the last answers are fresh. Never raises."""
        wanted = {(claim.job, claim.restarts) for claim in claims if claim.job and claim.job != self.own}
        fresh = time.monotonic() - self._asked < self.interval and wanted <= self._states.keys()
        if self.queue is None or not wanted or fresh:
            return
        found = self.queue.look(sorted({job for job, _ in wanted}))
        self._states = {(job, restarts): found[job].state for job, restarts in wanted}
        self._asked = time.monotonic()

    def state(self, claim: Claim) -> JobState | None:
        """What is known of the job of `claim`: UNKNOWN before it was asked about, None where there is no scheduler."""
        if claim.job == self.own:
            return JobState.RUNNING
        return self._states.get((claim.job, claim.restarts), JobState.UNKNOWN) if self.queue is not None else None


def abandoned(claim: Claim, folder: Path, *, begun: float, jobs: Jobs) -> bool:
    """Whether nobody runs the trial any more that `claim` holds.

    Args:
        claim: The claim.
        folder: Run folder of the trial.
        begun: When the trial was started, in seconds since the epoch.
        jobs: What the scheduler says; `ask` first.
    """
    if claim.here():
        return not claim.alive()
    if not claim.job or (state := jobs.state(claim)) is None:
        return _silent(folder, FOREIGN_SILENCE_SECONDS, begun=begun)
    if state is JobState.GONE:
        return _silent(folder, UNKNOWN_JOB_SILENCE_SECONDS)
    return state.over


def _silent(folder: Path, seconds: float, *, begun: float = 0.0) -> bool:
    """Whether nobody holds the run folder, and it has not changed its status for `seconds`."""
    status = RunFolder(folder).status
    spoken = max(begun, status.stat().st_mtime if status.exists() else 0.0)
    return time.time() - spoken > seconds and not is_locked(folder)
