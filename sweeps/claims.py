"""Claims: which process holds a trial, and whether that process still lives.

A process is known by host, boot, pid and start time, so that neither a reused pid nor a reboot passes for it. A worker
in a job of the scheduler is known by its job: whether that is over, `sweeps.liveness` asks.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class Claim:
    """A process that holds a trial.

    Attributes:
        host: Name of the machine.
        boot: Identifier of the machine's current boot, empty where the system has none.
        pid: Process id on that machine.
        started: Start time of the process as the system states it.
        job: Id of its job as `slurm.queue` takes it, empty outside of jobs.
        restarts: How often the job had been requeued.
        slot: Which of the job's places for trials it is, from 0.
        token: What `nines.run_owner` wrote into the run folder for this claim; empty before a trial was taken.
    """

    host: str
    boot: str
    pid: int
    started: str
    job: str = ""
    restarts: int = 0
    slot: int = 0
    token: str = ""

    @classmethod
    def mine(cls, *, job: str = "", restarts: int = 0) -> Claim:
        """A claim of the calling process, and of the job that it is a worker of."""
        started = _start_time(os.getpid()) or ""
        return cls(socket.gethostname(), _boot(), os.getpid(), started, job=job, restarts=restarts)

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Claim:
        """A claim from what `dataclasses.asdict` made of it, now or before claims knew of jobs."""
        return cls(
            str(stored["host"]),
            str(stored["boot"]),
            int(stored["pid"]),
            str(stored["started"]),
            job=str(stored.get("job", "")),
            restarts=int(stored.get("restarts", 0)),
            slot=int(stored.get("slot", 0)),
            token=str(stored.get("token", "")),
        )

    def as_mapping(self) -> dict[str, str | int]:
        """Plain values, for the storage."""
        return dataclasses.asdict(self)

    def alive(self) -> bool:
        """Whether the process lives. One that this machine cannot know about counts as alive, see `here`."""
        if not self.here():
            return True
        return self.boot == _boot() and _start_time(self.pid) == self.started

    def here(self) -> bool:
        """Whether this machine can look after the process: it is one of its own, and no scheduler's."""
        return not self.job and self.host == socket.gethostname()

    def same_place(self, other: Claim) -> bool:
        """Whether `other` is of the same slot of the same job, perhaps from before a requeue."""
        return bool(self.job) and (self.job, self.slot) == (other.job, other.slot)

    def before_requeue_of(self, other: Claim) -> bool:
        """Whether `other` is of the same job after it was requeued, so that this one should be gone by then."""
        return bool(self.job) and self.job == other.job and self.restarts < other.restarts


def _boot() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text(encoding="ascii").strip() if path.exists() else ""


def _start_time(pid: int) -> str | None:
    """Start time of a live process, None when there is none; a zombie has ended and counts as none."""
    if Path("/proc/self/stat").exists():
        try:
            # The command in parentheses may hold spaces and parentheses itself, so count from the last one.
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in {"Z", "X"} else fields[19]
    ps = shutil.which("ps")
    if ps is None:
        return _answers(pid)
    listed = subprocess.run(
        [ps, "-o", "stat=,lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    state, _, started = listed.stdout.strip().partition(" ")
    return None if not started or state.startswith("Z") else started.strip()


def _answers(pid: int) -> str | None:
    """Without /proc and ps, only whether some process has this pid is known."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return "unknown"
    return "unknown"
