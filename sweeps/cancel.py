"""Stops the workers of a sweep: here at once, elsewhere when they see the mark, on SLURM through the scheduler."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nines.errors import SchedulerError
from nines.files import read_json, write_text
from slurm.queue import JobState, Queue
from sweeps.claims import Claim
from sweeps.jobs import JobView, looking_queue, view_jobs
from sweeps.life_cycle import CANCELLED, CANCELS
from sweeps.study import Sweep

# A trial saves within `signal_seconds`; its worker needs a moment to write that down.
RECORD_SECONDS = 20.0
POLL_SECONDS = 1.0
# scancel sends SIGTERM and, after the cluster's KillWait, SIGKILL.
KILL_SECONDS = 60.0


@dataclass(frozen=True)
class Left:
    """What is still there after a cancel.

    Attributes:
        workers: Workers that run without SLURM: still saving here, or on other machines.
        jobs: Submissions with tasks that still run, or that nobody could be asked about.
        problem: Why the scheduler did not do as it was told, "" when it did or could not be asked at all.
    """

    workers: list[Claim]
    jobs: list[JobView]
    problem: str = ""

    def __bool__(self) -> bool:
        return bool(self.workers or self.jobs)


def mark_cancelled(sweep: Sweep) -> None:
    """Tell every worker to stop: in the folder, and in the study for those who see only the storage."""
    cancels = int(sweep.storage.get_study_user_attrs(sweep.study_id).get(CANCELS, 0))
    sweep.storage.set_study_user_attr(sweep.study_id, CANCELS, cancels + 1)
    sweep.storage.set_study_user_attr(sweep.study_id, CANCELLED, True)
    if sweep.visible:
        write_text(sweep.folder / CANCELLED, "nines sweep cancel\n")


def is_cancelled(sweep: Sweep) -> bool:
    """Whether the sweep was cancelled and not started since."""
    marked = sweep.storage.get_study_user_attrs(sweep.study_id).get(CANCELLED)
    return bool(marked) or (sweep.folder / CANCELLED).exists()


def clear_cancelled(sweep: Sweep) -> None:
    """Take the marks away, so that workers may start."""
    if sweep.storage.get_study_user_attrs(sweep.study_id).get(CANCELLED):
        sweep.storage.set_study_user_attr(sweep.study_id, CANCELLED, False)
    (sweep.folder / CANCELLED).unlink(missing_ok=True)


def live_workers(sweep: Sweep) -> list[Claim]:
    """The workers outside SLURM that have signed in and not ended.

    Those of other machines cannot be asked and count as live. Workers on SLURM are counted by `sweeps.jobs`.
    """
    found: list[Claim] = []
    for path in sorted((sweep.folder / "workers").glob("*.json")):
        # A worker that ends takes its file away, perhaps just now.
        with contextlib.suppress(FileNotFoundError):
            claim = Claim.read(read_json(path))
            if claim.job:
                continue
            if claim.alive():
                found.append(claim)
            else:
                path.unlink(missing_ok=True)
    return found


def cancel(
    sweep: Sweep,
    *,
    wait_seconds: float = 30.0,
    queue: Queue | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Left:
    """Ask every worker to let its trial save a checkpoint and to stop. The next start of the sweep goes on.

    Args:
        sweep: The open sweep.
        wait_seconds: How long to wait for the workers of this machine.
        queue: The scheduler.
        tell: Called with a line about what is waited for.

    Returns:
        What still lives then.
    """
    mark_cancelled(sweep)
    for claim in live_workers(sweep):
        if claim.here():
            with contextlib.suppress(ProcessLookupError):
                os.kill(claim.pid, signal.SIGTERM)
    jobs, problem = _cancel_jobs(sweep, looking_queue() if queue is None else queue, tell=tell)
    end = time.monotonic() + wait_seconds
    while any(claim.here() for claim in live_workers(sweep)) and time.monotonic() < end:
        time.sleep(0.1)
    return Left(live_workers(sweep), jobs, problem)


def _cancel_jobs(sweep: Sweep, queue: Queue, *, tell: Callable[[str], None]) -> tuple[list[JobView], str]:
    """End waiting jobs at once, running ones when they have saved; returns what is left, and why.

    Jobs that are submitted meanwhile belong to a new start of the sweep, and are left alone.
    """
    alive = _alive(sweep, queue)
    if not alive:
        return [], ""
    ids = [view.record.id for view in alive]
    if any(view.count(JobState.UNKNOWN) for view in alive):
        return alive, ""
    try:
        queue.cancel(ids, pending_only=True)
        patience = max(view.record.signal_seconds for view in alive) + RECORD_SECONDS
        alive = _wait(sweep, queue, ids, patience, tell=tell, saying="save their trials")
        if alive:
            queue.cancel([view.record.id for view in alive])
            alive = _wait(sweep, queue, ids, KILL_SECONDS, tell=tell, saying="be ended by SLURM")
    except SchedulerError as error:
        return _alive(sweep, queue, ids), str(error)
    return alive, ""


def _wait(
    sweep: Sweep, queue: Queue, ids: Sequence[str], seconds: float, *, tell: Callable[[str], None], saying: str
) -> list[JobView]:
    end, told = time.monotonic() + seconds, False
    while (alive := _alive(sweep, queue, ids)) and time.monotonic() < end:
        if not told:
            count = sum(view.alive for view in alive)
            tell(f"waiting up to {seconds:.0f} s for {count} workers to {saying} (Ctrl-C leaves them to it)")
            told = True
        time.sleep(POLL_SECONDS)
    return alive


def _alive(sweep: Sweep, queue: Queue, ids: Sequence[str] | None = None) -> list[JobView]:
    """The submissions that live, of all or of `ids`."""
    return [view for view in view_jobs(sweep, queue) if view.alive and (ids is None or view.record.id in ids)]
