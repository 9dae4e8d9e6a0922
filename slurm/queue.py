"""The scheduler's queue: submit, look, cancel, signal, requeue, in as few commands as possible."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from nines.errors import ConfigError, SchedulerError
from slurm.commands import CommandRunner, Finished, SystemCommands
from slurm.job_state import JobInfo, JobState, state_of
from slurm.rejections import rejection
from slurm.submission import submission_environment
from slurm.time_limits import seconds_of

__all__ = ["JobInfo", "JobState", "Queue"]

# Fixed widths, since a reason holds blanks and a waiting job has no nodes: lines are cut, not split.
COLUMNS = {
    "ArrayJobID": 24,
    "ArrayTaskID": 24,
    "JobID": 24,
    "State": 24,
    "RestartCnt": 12,
    "exit_code": 12,
    "TimeLeft": 24,
    "NodeList": 200,
    "Reason": 200,
}
SQUEUE = ("squeue", "--noheader", "--array", "--states=all", "-O", ",".join(f"{k}:{w}" for k, w in COLUMNS.items()))
SACCT = ("sacct", "--noheader", "--parsable2", "--allocations", "--format=JobID,JobIDRaw,State,ExitCode,NodeList")
COMMENTS = ("squeue", "--me", "--noheader", "--array", "--states=all", "--format=%F|%K|%T|%k")
# The kernel bounds the length of a command line; SLURM the time that a question takes.
IDS_AT_ONCE = 500
JOB_ID = re.compile(r"\d+(_\d+)?")
SUBMITTED = re.compile(r"(\d+)(;\S+)?")
# What an array as a whole is, from what its tasks are: the first of these that any has.
PRECEDENCE = (JobState.RUNNING, JobState.PENDING, JobState.ENDED)


class Queue:
    """Requests to the scheduler. A job's id is "123", "123_4" for a task of an array, "123" for the whole array.

    Args:
        runner: Runs the commands; None: `SystemCommands()`.
    """

    def __init__(self, runner: CommandRunner | None = None) -> None:
        self.runner = SystemCommands() if runner is None else runner
        self._accounting = True

    @classmethod
    def asking_once(cls, *, timeout: float = 20.0) -> Queue:
        """A queue that never repeats a request: for who has other things to look after, or looks again later anyway.

        Args:
            timeout: Seconds that a command may take.
        """
        return cls(SystemCommands(timeout=timeout, patience=0.0))

    def submit(self, script: str) -> str:
        """Submit a batch script and return the job's id.

        Raises:
            JobRejected: SLURM refuses what the script asks for.
            SchedulerError: SLURM did not take it, or did not answer; then the job may be in the queue all the same.
        """
        environment = submission_environment(script, os.environ)
        finished = self.runner(("sbatch", "--parsable"), stdin=script, environment=environment)
        lines = finished.output.strip().splitlines()
        match = SUBMITTED.fullmatch(lines[-1].strip()) if lines else None
        if finished.code != 0 or match is None:
            raise rejection(script, finished, self.runner)
        return match[1]

    def look(self, ids: Iterable[str]) -> dict[str, JobInfo]:
        """What the scheduler says of each of `ids`: one `squeue`, and one `sacct` for those that it does not know.

        Never raises for a scheduler that cannot be asked: the state is UNKNOWN then, and `reason` says why.
        An array is RUNNING while any of its tasks is, else PENDING while any is.
        """
        wanted = list(dict.fromkeys(ids))
        for job in wanted:
            _check_id(job)
        try:
            rows = [row for part in _parts(wanted) for row in self._squeue(part)]
        except SchedulerError as error:
            return {job: JobInfo(job, JobState.UNKNOWN, reason=str(error)) for job in wanted}
        found = {job: info for job in wanted if (info := _of(job, rows)) is not None}
        missing = [job for job in wanted if job not in found]
        ended = [row for part in _parts(missing) for row in self._sacct(part)]
        for job in missing:
            info = _of(job, ended)
            # The controller knows every job that waits or runs; the accounts may lag behind it, or have lost an end.
            known = info is not None and info.state is JobState.ENDED
            found[job] = info if info is not None and known else JobInfo(job, JobState.GONE)
        return {job: found[job] for job in wanted}

    def array_tasks(self, job: str) -> list[JobInfo]:
        """The tasks of the array `job` that the scheduler still knows, by number.

        Raises:
            SchedulerError: The scheduler cannot be asked.
        """
        _check_id(job)
        rows = [(array, task, info) for array, task, _, info in self._squeue([job]) if array == job and task.isdigit()]
        return [replace(info, id=f"{array}_{task}") for array, task, info in sorted(rows, key=lambda row: int(row[1]))]

    def arrays_with_comment(self, comment: str) -> dict[str, int]:
        """The user's own arrays with exactly this comment that are not over, and how many tasks each has.

        Raises:
            SchedulerError: The scheduler cannot be asked.
        """
        finished = self.runner(COMMENTS)
        _check(finished, "squeue")
        tasks: dict[str, int] = {}
        alive: set[str] = set()
        for line in finished.output.splitlines():
            array, task, state, told = line.split("|", 3)
            if told.strip() == comment and task.isdigit():
                tasks[array] = max(tasks.get(array, 0), int(task) + 1)
                if not state_of(state).over:
                    alive.add(array)
        return {array: count for array, count in tasks.items() if array in alive}

    def cancel(self, ids: Iterable[str], *, pending_only: bool = False) -> None:
        """Cancel jobs; those that have ended or are unknown are passed over.

        Args:
            ids: Jobs, tasks or arrays.
            pending_only: Leave those that run.

        Raises:
            SchedulerError: SLURM refused, say because the job belongs to somebody else.
        """
        wanted = list(dict.fromkeys(ids))
        for part in _parts(wanted):
            for job in part:
                _check_id(job)
            only = ["--state=PENDING"] if pending_only else []
            _check(self.runner(["scancel", *only, *part]), "scancel", harmless=("Invalid job id", "already completing"))

    def signal(self, job: str, name: str, *, batch: bool) -> None:
        """Send signal `name` ("USR1") to a job.

        Args:
            job: Job or task.
            name: The signal, without SIG.
            batch: True: only to the batch step's process; False: to the tasks of all its other steps.

        Raises:
            SchedulerError: SLURM refused; the job does not run.
        """
        _check_id(job)
        whom = ["--batch"] if batch else []
        _check(self.runner(["scancel", f"--signal={name}", *whom, job]), "scancel")

    def requeue(self, job: str) -> None:
        """Put a job back into the queue; a running one is ended first, the calling process with it.

        Raises:
            SchedulerError: SLURM refused, say because the job was submitted with `--no-requeue`.
        """
        _check_id(job)
        _check(self.runner(["scontrol", "requeue", job]), "scontrol requeue", harmless=("Job is pending execution",))

    def _squeue(self, ids: Sequence[str]) -> list[tuple[str, str, str, JobInfo]]:
        finished = self.runner([*SQUEUE, f"--jobs={','.join(ids)}"])
        if finished.code != 0 and "Invalid job id" in finished.errors:
            return []  # says squeue of a single job that it does not know; of several it leaves that one out
        _check(finished, "squeue")
        return [_cut(line) for line in finished.output.splitlines() if line.strip()]

    def _sacct(self, ids: Sequence[str]) -> list[tuple[str, str, str, JobInfo]]:
        if not self._accounting:
            return []
        try:
            finished = self.runner([*SACCT, f"--jobs={','.join(ids)}"])
        except SchedulerError:
            return []  # no sacct here, or its daemon is down: squeue's answer stands
        if "accounting storage is disabled" in finished.errors:
            self._accounting = False
        rows = []
        for line in finished.output.splitlines() if finished.code == 0 else []:
            name, raw_id, state, exit_code, nodes = line.split("|")
            array, _, task = name.partition("_")
            rows.append((array, task or "N/A", raw_id, JobInfo(name, state_of(state), state, "", nodes, 0, exit_code)))
        return rows


def _cut(line: str) -> tuple[str, str, str, JobInfo]:
    fields, start = {}, 0
    for name, width in COLUMNS.items():
        fields[name] = line[start : start + width].strip()
        start += width
    raw = fields["State"]
    state = state_of(raw)
    info = JobInfo(
        id=fields["JobID"],
        state=state,
        raw=raw,
        reason="" if fields["Reason"] == "None" else fields["Reason"],
        nodes=fields["NodeList"],
        restarts=int(fields["RestartCnt"]) if fields["RestartCnt"].isdigit() else 0,
        exit_code=_exit_code(fields["exit_code"]) if state is JobState.ENDED else "",
        seconds_left=_seconds_left(fields["TimeLeft"]) if raw == "RUNNING" else None,
    )
    return fields["ArrayJobID"], fields["ArrayTaskID"], fields["JobID"], info


def _exit_code(text: str) -> str:
    """`code:signal` as sacct has it; squeue prints what wait() gives."""
    return f"{int(text) >> 8}:{int(text) & 127}" if text.isdigit() else text


def _seconds_left(text: str) -> float | None:
    try:
        left = seconds_of(text)
    except ConfigError:  # NOT_SET, INVALID
        return None
    return None if math.isinf(left) else left


def _of(job: str, rows: Sequence[tuple[str, str, str, JobInfo]]) -> JobInfo | None:
    """What `rows` say of `job`; of an array as a whole, what its liveliest task is."""
    array, _, task = job.partition("_")
    if task:
        mine = [info for a, t, _, info in rows if (a, t) == (array, task)]
    else:
        mine = [info for a, _, _, info in rows if a == array] or [info for _, _, raw, info in rows if raw == array]
    if not mine:
        return None
    return replace(min(mine, key=lambda info: PRECEDENCE.index(info.state)), id=job)


def _parts(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[start : start + IDS_AT_ONCE] for start in range(0, len(ids), IDS_AT_ONCE))


def _check_id(job: str) -> None:
    if not JOB_ID.fullmatch(job):
        raise SchedulerError(f"{job!r} is no job id; one looks like 123 or 123_4")


def _check(finished: Finished, command: str, *, harmless: Sequence[str] = ()) -> None:
    if finished.code == 0:
        return
    complaints = [line.strip() for line in finished.errors.splitlines() if line.strip()]
    # One command speaks of several jobs, a line each: one that has ended must not hide one that was refused.
    serious = [line for line in complaints if not any(message in line for message in harmless)]
    if serious or not complaints:
        raise SchedulerError(f"{command} failed: {serious[0] if serious else finished.complaint}")
