"""What can be hit: the jobs of a cluster, and the processes of its jobs on this machine."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

Role = Literal["batch", "srun", "rank"]
COMMAND_SECONDS = 60


@dataclasses.dataclass(frozen=True)
class Job:
    """A job of the main partition.

    Attributes:
        id: Its id, `123_4` for a task of an array: the plain id of one task is also that of the whole array.
        state: As squeue names it.
        node: Where it runs, empty while it waits.
        reason: Why it waits.
    """

    id: str
    state: str
    node: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Process:
    """A process of a job."""

    pid: int
    role: Role
    job: str


class Cluster:
    """Asks and commands one cluster.

    Args:
        environment: Variables that lead SLURM's commands to it.
        attacked: The partition whose jobs are looked at.
    """

    def __init__(self, environment: Mapping[str, str], *, attacked: str = "main") -> None:
        self.environment = dict(environment)
        self.attacked = attacked

    def command(self, *words: str) -> tuple[bool, str]:
        """Run one of SLURM's commands.

        Returns:
            Whether it succeeded, and what it said: its output, or its last error.
        """
        try:
            ended = subprocess.run(
                words,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=COMMAND_SECONDS,
                check=False,
                env={**os.environ, **self.environment},
            )
        except subprocess.TimeoutExpired:
            return False, f"{words[0]} did not answer in {COMMAND_SECONDS} s"
        if ended.returncode == 0:
            return True, ended.stdout.strip()
        return False, (ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[-1]

    def jobs(self) -> list[Job] | None:
        """Pending and running jobs by their ids; None while the controller does not answer."""
        good, said = self.command("squeue", "-h", "-r", "-p", self.attacked, "-o", "%i|%T|%N|%r")
        if not good:
            return None
        rows = [line.strip().split("|") for line in said.splitlines() if line.strip()]
        return sorted((Job(*row[:4]) for row in rows), key=lambda job: job.id)

    def unusable_nodes(self) -> list[str]:
        """Nodes that are down or drained."""
        good, said = self.command("sinfo", "-h", "-N", "-p", self.attacked, "-o", "%N %T")
        if not good:
            return []
        rows = [line.split() for line in said.splitlines()]
        return sorted({name for name, state in rows if state.rstrip("*$#~").startswith(("down", "drain"))})

    def nodes(self) -> list[str]:
        """All nodes."""
        good, said = self.command("sinfo", "-h", "-N", "-p", self.attacked, "-o", "%N")
        return sorted(set(said.split())) if good else []

    def processes(self, role: Role) -> list[Process]:
        """Processes of running jobs on this machine that play `role`, by their ids."""
        configuration = self.environment.get("SLURM_CONF", os.environ.get("SLURM_CONF", ""))
        return sorted(
            (process for process in _processes(configuration) if process.role == role), key=lambda process: process.pid
        )


def role_of(command: list[str]) -> Role | None:
    """What a process of a job is, by its command line; srun's own carries that of the ranks behind it."""
    if not command:
        return None
    if Path(command[0]).name == "srun":
        return "srun"
    for module, role in (("sweeps.rank", "rank"), ("sweeps.worker", "batch")):
        if "-m" in command and command[command.index("-m") + 1 :][:1] == [module]:
            return "rank" if role == "rank" else "batch"
    return None


def _processes(configuration: str) -> Iterator[Process]:
    """Processes of the jobs of the cluster that `configuration` describes, and of no other on this machine."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
            role = role_of(command)
            if role is None:
                continue
            lines = (entry / "environ").read_bytes().decode(errors="replace").split("\0")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        variables = dict(line.partition("=")[::2] for line in lines)
        job = variables.get("SLURM_JOB_ID", "")
        if job and variables.get("SLURM_CONF", "") == configuration:
            yield Process(int(entry.name), role, job)
