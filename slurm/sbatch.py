"""The batch script of a job, as text: a pure function of what was asked for."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nines.errors import ConfigError
from slurm.options import SlurmOptions

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Both halves of the notice: B, only the batch step, which asks the ranks itself; USR1, which ends whoever has no
# handler for it, so the script ignores it until the command has one.
NOTICE = "B:USR1@{seconds}"


@dataclass(frozen=True, kw_only=True)
class BatchJob:
    """One job, or one array of equal jobs.

    Attributes:
        name: As `squeue` shows it.
        command: What the batch step becomes, on the first node of the job, outside any container.
        log: File for its output; in its name SLURM replaces %j (job), %A and %a (array and task).
        options: How the cluster is asked.
        nodes: Nodes of a trial, so of the job.
        tasks_per_node: Ranks of one trial on each node.
        folder: Working folder.
        array: Number of equal jobs; None: a single one.
        exports: Variables for the command, on top of those of the shell that submits. No secrets: the script is a file.
        comment: Shown by `scontrol show job`.

    Raises:
        ConfigError: A text that would break out of its line, or a number below 1.
    """

    name: str
    command: tuple[str, ...]
    log: Path
    options: SlurmOptions
    nodes: int
    tasks_per_node: int
    folder: Path
    array: int | None = None
    exports: Mapping[str, str] = field(default_factory=dict)
    comment: str | None = None

    def __post_init__(self) -> None:
        if not self.command:
            raise ConfigError(f"job {self.name!r} has no command")
        for what, text in (("name", self.name), ("log", self.log), ("folder", self.folder), ("comment", self.comment)):
            if text is not None and not str(text).isprintable():
                raise ConfigError(
                    f"{what} {str(text)!r} of the job: line breaks and control characters are not allowed"
                )
            # sbatch drops it from a directive, whatever the quotes, and in a log's path it switches off %j.
            if text is not None and "\\" in str(text):
                raise ConfigError(f"{what} {text} of the job: SLURM has no way to write a backslash; choose another")
        for name, value in self.exports.items():
            if not VARIABLE.fullmatch(name):
                raise ConfigError(f"{name!r} is no name for a variable of job {self.name!r}")
            if "\0" in value:
                raise ConfigError(f"variable {name} of job {self.name!r} holds a zero byte")
        for what, number in (("nodes", self.nodes), ("tasks_per_node", self.tasks_per_node), ("array", self.array)):
            if number is not None and number < 1:
                raise ConfigError(f"{what} of job {self.name!r} is {number}, must be at least 1")


def render(job: BatchJob) -> str:
    """The batch script of `job`. Its last line is `exec`, so that the command itself gets the signals of the job."""
    lines = ["#!/bin/bash"]
    lines += [f"#SBATCH {_directive(name, value)}" for name, value in _directives(job)]
    lines += [f"#SBATCH {_quoted(option)}" for option in job.options.extra]
    lines += ["", "trap '' USR1  # a notice that comes before the command listens would end the job", "set -e"]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in job.exports.items()]
    lines += job.options.setup
    lines += ["", f"exec {shlex.join(job.command)}", ""]
    return "\n".join(lines)


def _directives(job: BatchJob) -> Iterator[tuple[str, str | None]]:
    options = job.options
    # Tasks of all trials that run in the job at the same time.
    tasks = job.tasks_per_node * options.trials_per_job
    cap = f"%{options.max_running}" if options.max_running is not None else ""
    yield "job-name", job.name
    if job.comment is not None:
        yield "comment", job.comment
    yield "chdir", str(job.folder)
    # Only the file's name is a pattern: a folder may be called 100%j.
    yield "output", f"{str(job.log.parent).replace('%', '%%')}/{job.log.name}"
    # A requeued job goes on in the same file.
    yield "open-mode", "append"
    if job.array is not None:
        yield "array", f"0-{job.array - 1}{cap}"
    for name, value in (("partition", options.partition), ("account", options.account), ("qos", options.qos)):
        if value is not None:
            yield name, value
    yield "time", options.time
    yield "nodes", str(job.nodes)
    yield "ntasks-per-node", str(tasks)
    yield "cpus-per-task", str(options.cpus_per_task)
    for name, given in (
        ("gpus-per-node", options.gpus_per_node),
        ("mem", options.memory),
        ("constraint", options.constraint),
        ("exclude", options.exclude),
        ("mail-user", options.mail_user),
        ("mail-type", options.mail_type),
    ):
        if given is not None:
            yield name, str(given)
    yield "signal", NOTICE.format(seconds=options.signal_seconds)
    yield ("requeue" if options.requeue else "no-requeue"), None


def _directive(name: str, value: str | None) -> str:
    return f"--{name}" if value is None else f"--{name}={shlex.quote(value)}"


def _quoted(option: str) -> str:
    name, equals, value = option.partition("=")
    return f"{name}={shlex.quote(value)}" if equals else name
