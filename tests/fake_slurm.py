"""A scheduler in memory: answers the commands as `slurm.queue` asks them, with jobs whose states a test sets."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from nines.errors import SchedulerUnreachable
from slurm.commands import Finished
from slurm.job_state import JobState, state_of

COMMENT = re.compile(r"^#SBATCH --comment=(.*)$", re.MULTILINE)
ARRAY = re.compile(r"^#SBATCH --array=(\d+)-(\d+)", re.MULTILINE)


@dataclass
class FakeJob:
    """One job, or one task of an array."""

    id: str
    raw_id: str
    state: str = "PENDING"
    reason: str = "Resources"
    nodes: str = ""
    restarts: int = 0
    exit_code: str = "0"
    time_left: str = "INVALID"

    @property
    def array(self) -> str:
        return self.id.partition("_")[0]

    @property
    def task(self) -> str:
        return self.id.partition("_")[2] or "N/A"


@dataclass
class FakeSlurm:
    """A `CommandRunner` with jobs.

    Attributes:
        jobs: By id ("7", "7_0"), in the order of submission.
        purged: Ids that the controller has forgotten; the accounts still know them.
        accounting: Whether `sacct` knows anything.
        unanswered: Submissions that arrive without an answer.
        unreachable: Makes every command fail as a dead controller does.
        commands: Every command that was run.
        scripts: By job id, what was submitted.
        environments: By job id, the variables that it was submitted with.
        signals: (job id, signal, whether to the batch step).
    """

    jobs: dict[str, FakeJob] = field(default_factory=dict)
    purged: set[str] = field(default_factory=set)
    accounting: bool = True
    unanswered: int = 0
    unreachable: bool = False
    commands: list[list[str]] = field(default_factory=list)
    scripts: dict[str, str] = field(default_factory=dict)
    environments: dict[str, dict[str, str]] = field(default_factory=dict)
    signals: list[tuple[str, str, bool]] = field(default_factory=list)
    next_id: int = 7

    def __call__(
        self, command: Sequence[str], *, stdin: str | None = None, environment: Mapping[str, str] | None = None
    ) -> Finished:
        self.commands.append(list(command))
        if self.unreachable:
            raise SchedulerUnreachable(f"{command[0]}: the SLURM controller does not answer")
        if command[0] == "sbatch":
            assert stdin is not None
            return self._sbatch(stdin, environment or {})
        if command[:2] == ["scontrol", "requeue"] or tuple(command[:2]) == ("scontrol", "requeue"):
            return self._requeue(command[2])
        answers = {"squeue": self._squeue, "sacct": self._sacct, "scancel": self._scancel, "sinfo": self._sinfo}
        return answers[command[0]](list(command[1:]))

    def set(self, job: str, state: str, **values: object) -> None:
        """Put `job`, or every task of the array `job`, into SLURM's state `state`; `values` are other fields."""
        for one in self._named(job):
            one.state = state
            one.reason = "Resources" if state == "PENDING" else "None"
            one.nodes = "node1" if state_of(state) is JobState.RUNNING else one.nodes
            for name, value in values.items():
                setattr(one, name, value)

    def add(self, job: str, state: str = "RUNNING", **values: object) -> FakeJob:
        """A job that nobody submitted here."""
        self.jobs[job] = FakeJob(job, job.partition("_")[0])
        self.set(job, state, **values)
        return self.jobs[job]

    def purge(self, job: str) -> None:
        """Have the controller forget a job, as it does minutes after the end."""
        self.purged.update(one.id for one in self._named(job))

    def _named(self, job: str) -> list[FakeJob]:
        if job in self.jobs:
            return [self.jobs[job]]
        tasks = [one for one in self.jobs.values() if one.array == job]
        return tasks or [one for one in self.jobs.values() if one.raw_id == job]

    def _known(self, job: str) -> list[FakeJob]:
        return [one for one in self._named(job) if one.id not in self.purged]

    def _sbatch(self, script: str, environment: Mapping[str, str]) -> Finished:
        job = str(self.next_id)
        if (match := ARRAY.search(script)) is None:
            self.jobs[job] = FakeJob(job, job)
            self.next_id += 1
        else:
            first, last = int(match[1]), int(match[2])
            for task in range(first, last + 1):
                # SLURM gives the array's own id to the task that starts last.
                raw_id = job if task == last else str(self.next_id + 1 + task - first)
                self.jobs[f"{job}_{task}"] = FakeJob(f"{job}_{task}", raw_id)
            self.next_id += last - first + 1
        self.scripts[job] = script
        self.environments[job] = dict(environment)
        if self.unanswered:
            self.unanswered -= 1
            return Finished(1, errors="sbatch: error: Socket timed out on send/recv operation\n")
        return Finished(0, f"{job}\n")

    def _squeue(self, words: list[str]) -> Finished:
        if "--me" in words:
            return Finished(0, "".join(self._commented()))
        ids = _option(words, "--jobs").split(",")
        found = [one for job in ids for one in self._known(job)]
        if not found and len(ids) == 1:
            return Finished(1, errors="slurm_load_jobs error: Invalid job id specified\n")
        columns = [column.split(":") for column in words[words.index("-O") + 1].split(",")]
        return Finished(0, "".join(_line(one, columns) for one in dict.fromkeys(map(_frozen, found))))

    def _commented(self) -> Iterator[str]:
        for array, script in self.scripts.items():
            comment = COMMENT.search(script)
            for one in self._known(array):
                yield f"{array}|{one.task}|{one.state}|{shlex.split(comment[1])[0] if comment else '(null)'}\n"

    def _sacct(self, words: list[str]) -> Finished:
        if not self.accounting:
            return Finished(1, errors="Slurm accounting storage is disabled\n")
        found = {one.id: one for job in _option(words, "--jobs").split(",") for one in self._named(job)}
        lines = [f"{one.id}|{one.raw_id}|{one.state}|{one.exit_code}:0|{one.nodes}\n" for one in found.values()]
        return Finished(0, "".join(lines))

    def _scancel(self, words: list[str]) -> Finished:
        ids = [word for word in words if not word.startswith("-")]
        pending_only = "--state=PENDING" in words
        signal = next((word.partition("=")[2] for word in words if word.startswith("--signal=")), None)
        for job in ids:
            for one in self._known(job):
                state = state_of(one.state)
                if signal is not None:
                    self.signals.append((one.id, signal, "--batch" in words))
                elif state is JobState.PENDING or (state is JobState.RUNNING and not pending_only):
                    self.set(one.id, "CANCELLED")
        return Finished(0)

    def _sinfo(self, _: list[str]) -> Finished:
        return Finished(0, "gpu|2|4|8000|gpu:2|infinite\n")

    def _requeue(self, job: str) -> Finished:
        if not (known := self._known(job)):
            return Finished(1, errors="Invalid job id specified\n")
        for one in known:
            self.set(one.id, "PENDING", restarts=one.restarts + 1, reason="BeginTime")
        return Finished(0)


def _option(words: Sequence[str], name: str) -> str:
    return next(word.partition("=")[2] for word in words if word.startswith(f"{name}="))


def _frozen(job: FakeJob) -> tuple[tuple[str, str], ...]:
    return (
        ("ArrayJobID", job.array),
        ("ArrayTaskID", job.task),
        ("JobID", job.raw_id),
        ("State", job.state),
        ("RestartCnt", str(job.restarts)),
        ("exit_code", job.exit_code),
        ("TimeLeft", job.time_left),
        ("NodeList", job.nodes),
        ("Reason", job.reason),
    )


def _line(fields: tuple[tuple[str, str], ...], columns: Sequence[Sequence[str]]) -> str:
    values = dict(fields)
    return "".join(f"{values[name]:{width}.{width}}" for name, width in columns) + "\n"
