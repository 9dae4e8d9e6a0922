"""Claims: which process holds a trial, and whether that process still lives.

A process is known by host, boot, pid and start time, so that neither a reused pid nor a reboot passes for it.
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
    """

    host: str
    boot: str
    pid: int
    started: str

    @classmethod
    def mine(cls) -> Claim:
        """A claim of the calling process."""
        return cls(socket.gethostname(), _boot(), os.getpid(), _start_time(os.getpid()) or "")

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Claim:
        """A claim from what `dataclasses.asdict` made of it."""
        return cls(str(stored["host"]), str(stored["boot"]), int(stored["pid"]), str(stored["started"]))

    def as_mapping(self) -> dict[str, str | int]:
        """Plain values, for the storage."""
        return dataclasses.asdict(self)

    def alive(self) -> bool:
        """Whether the process lives. A process of another machine cannot be asked and counts as alive."""
        if not self.here():
            return True
        return self.boot == _boot() and _start_time(self.pid) == self.started

    def here(self) -> bool:
        """Whether the process is one of this machine."""
        return self.host == socket.gethostname()


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
