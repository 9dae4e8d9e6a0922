"""The SLURM jobs of a sweep: kept with the study, so that any machine that sees the storage can ask about them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from slurm.queue import JobInfo, JobState, Queue
from sweeps.study import Sweep

JOBS_ATTRIBUTE = "jobs"
# A command that only looks gives up soon: the trials are known without the scheduler.
LOOK_SECONDS = 20.0
# SLURM's words for an end that nobody asked for.
FAILURES = frozenset(
    {"FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "LAUNCH_FAILED", "RECONFIG_FAIL", "DEADLINE"}
)
LAST_BYTES = 4096


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobRecord:
    """One submission: an array whose tasks are workers.

    Attributes:
        id: Id of the array.
        tasks: Number of its tasks.
        trials_per_task: Trials that a task runs at the same time.
        signal_seconds: How long a task may take to save its trials.
        submitted: Seconds since the epoch.
        host: Machine that submitted it.
        over: All its tasks are known to have ended.
        shape: What tells other resources and options from these, see `sweeps.launch_slurm.shape_of`; "" unknown.
    """

    id: str
    tasks: int
    trials_per_task: int
    signal_seconds: int
    submitted: float
    host: str
    over: bool = False
    shape: str = ""

    @property
    def task_ids(self) -> list[str]:
        """Ids of the tasks, as `slurm.queue` takes them."""
        return [f"{self.id}_{number}" for number in range(self.tasks)]


@dataclasses.dataclass(frozen=True)
class JobView:
    """A submission and what the scheduler says of its tasks now.

    Attributes:
        record: The submission.
        tasks: One entry a task.
    """

    record: JobRecord
    tasks: Sequence[JobInfo]

    def count(self, *states: JobState) -> int:
        """Number of tasks in one of `states`."""
        return sum(task.state in states for task in self.tasks)

    @property
    def alive(self) -> int:
        """Tasks that run or will run; those that nobody can be asked about count."""
        return self.count(JobState.PENDING, JobState.RUNNING, JobState.UNKNOWN)

    def failures(self) -> list[JobInfo]:
        """Tasks that ended badly, and those of which SLURM no longer knows how they ended."""
        ended = [task for task in self.tasks if task.state is JobState.ENDED and task.raw.split(" ")[0] in FAILURES]
        return ended + [task for task in self.tasks if task.state is JobState.GONE]

    def failure_line(self, logs: Path) -> str | None:
        """For a person: how many workers failed, and what the log of the first says last; None when none did.

        Where SLURM keeps no accounts, nobody knows how a worker ended: then only its log is shown.

        Args:
            logs: Folder of the workers' logs.
        """
        if not (failures := self.failures()):
            return None
        first = failures[0]
        log = logs / f"slurm-{first.id}.log"
        known = [task for task in failures if task.state is JobState.ENDED]
        count = _workers(len(known) or len(failures))
        how = ", ".join(dict.fromkeys(f"{task.raw} {task.exit_code}".strip() for task in known))
        what = f"failed ({how})" if known else "ended, SLURM no longer knows how"
        last = last_line(log)
        return f"job {self.record.id}: {count} {what}, see {log}{f': {last}' if last else ''}"

    def line(self) -> str:
        """For a person: what its tasks do, where, and why they wait."""
        unknown = [task for task in self.tasks if task.state is JobState.UNKNOWN]
        if unknown:
            return (
                f"job {self.record.id}: {_workers(len(unknown))}, about which SLURM cannot be asked "
                f"({unknown[0].reason})"
            )
        parts = []
        if running := [task for task in self.tasks if task.state is JobState.RUNNING]:
            nodes = ", ".join(dict.fromkeys(task.nodes for task in running if task.nodes))
            parts.append(f"{len(running)} running{f' on {nodes}' if nodes else ''}")
        if pending := [task for task in self.tasks if task.state is JobState.PENDING]:
            reasons = ", ".join(dict.fromkeys(task.reason for task in pending if task.reason))
            parts.append(f"{len(pending)} pending{f' ({reasons})' if reasons else ''}")
        ended = len(self.tasks) - len(running) - len(pending)
        if ended:
            parts.append(f"{ended} ended")
        return f"job {self.record.id}: {', '.join(parts)}"


def last_line(log: Path) -> str:
    """The last line of a log that says something; "" where there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(log.stat().st_size - LAST_BYTES, 0))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _workers(count: int) -> str:
    return f"{count} worker{'' if count == 1 else 's'}"


def looking_queue() -> Queue:
    """The scheduler for commands that only look: impatient."""
    return Queue.asking_once(timeout=LOOK_SECONDS)


def read_jobs(sweep: Sweep) -> list[JobRecord]:
    """The submissions of the sweep, oldest first."""
    stored: Sequence[Mapping[str, Any]] = sweep.storage.get_study_user_attrs(sweep.study_id).get(JOBS_ATTRIBUTE, [])
    known = {field.name for field in dataclasses.fields(JobRecord)}
    return [JobRecord(**{key: value for key, value in one.items() if key in known}) for one in stored]


def write_jobs(sweep: Sweep, records: Sequence[JobRecord]) -> None:
    """Keep `records` with the study. Only for who holds the lock of submissions."""
    sweep.storage.set_study_user_attr(
        sweep.study_id, JOBS_ATTRIBUTE, [dataclasses.asdict(record) for record in records]
    )


def view_jobs(sweep: Sweep, queue: Queue, *, more: Sequence[JobRecord] = ()) -> list[JobView]:
    """What the scheduler says of all submissions that are not over, asked in one go.

    Args:
        sweep: The open sweep.
        queue: The scheduler.
        more: Submissions that are not kept with the study so far.
    """
    records = [record for record in (*read_jobs(sweep), *more) if not record.over]
    if not records:
        return []
    found = queue.look(task for record in records for task in record.task_ids)
    return [JobView(record, [found[task] for task in record.task_ids]) for record in records]
