"""A private SLURM cluster on this machine, for tests and benchmarks that kill its daemons: started, hurt, mended.

The starter script is named by the variable NINES_SLURM_UP. It prints `export SLURM_CONF=…`, takes its folder and ports
from the variables SLURM_LAB and SLURM_LAB_PORT, keeps pid files in `run/`, starts again what is down when it is called
again, and has a `slurm-down` beside it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "NINES_SLURM_UP"
# The first start installs packages where they are missing.
START_SECONDS = 300
END_SECONDS = 20.0
PORTS_OF_ONE_LAB = 100


class LabError(RuntimeError):
    """The starter script failed, or a daemon cannot be found."""


@dataclasses.dataclass(frozen=True)
class SlurmLab:
    """A running cluster of pretended nodes called node1, node2 and so on.

    Attributes:
        starter: The script that started it.
        folder: Holds everything that it writes.
        settings: The variables that the script was started with.
        configuration: Its slurm.conf.
    """

    starter: Path
    folder: Path
    settings: Mapping[str, str]
    configuration: Path

    @classmethod
    def start(cls, starter: Path, folder: Path, *, accounting: bool = True, nodes: int = 2, cpus: int = 4) -> SlurmLab:
        """Start a cluster of its own in `folder`, on ports that are free.

        Args:
            starter: The script.
            folder: A short path: the daemons' sockets lie in it.
            accounting: Whether sacct knows ended jobs.
            nodes: Number of nodes.
            cpus: CPUs that each node claims to have.

        Raises:
            LabError: The script is missing or failed.
        """
        if not os.access(starter, os.X_OK):
            raise LabError(f"{VARIABLE}={starter} is not a script that can be executed")
        settings = {
            "SLURM_LAB": str(folder),
            "SLURM_LAB_PORT": str(free_ports(PORTS_OF_ONE_LAB)),
            "SLURM_LAB_NODES": str(nodes),
            "SLURM_LAB_CPUS": str(cpus),
            "SLURM_LAB_DBD": str(int(accounting)),
        }
        return cls(starter, folder, settings, _up(starter, settings))

    @property
    def environment(self) -> dict[str, str]:
        """The variable that leads SLURM's commands to this cluster."""
        return {"SLURM_CONF": str(self.configuration)}

    def mend(self) -> None:
        """Start again whatever daemon is down, and wait until all answer.

        Raises:
            LabError: Something stays down.
        """
        _up(self.starter, self.settings)

    def end(self, daemon: str, how: signal.Signals = signal.SIGKILL) -> int:
        """End a daemon: `slurmctld`, or the slurmd of a node by its name.

        A controller that is killed forgets what it did in its last seconds, jobs that it started among them; after
        SIGTERM it writes that down first.

        Args:
            daemon: Which.
            how: SIGKILL or SIGTERM.

        Returns:
            The process id that it had.

        Raises:
            LabError: It does not run, or the pid file names a process of another cluster.
        """
        pid = self.pid(daemon)
        os.kill(pid, how)
        end = time.monotonic() + END_SECONDS
        while self._ours(pid):
            if time.monotonic() > end:
                raise LabError(f"{daemon} (pid {pid}) survives {how.name}")
            time.sleep(0.02)
        return pid

    def pid(self, daemon: str) -> int:
        """The process id of a running daemon.

        Raises:
            LabError: It does not run.
        """
        path = self.folder / "run" / f"{daemon}.pid"
        pid = int(path.read_text(encoding="ascii")) if path.exists() else 0
        if not self._ours(pid):
            raise LabError(f"{daemon} does not run in {self.folder}")
        return pid

    def stop(self) -> None:
        """Cancel its jobs, stop its daemons, delete its folder."""
        down = self.starter.with_name(self.starter.name.replace("up", "down"))
        _run([str(down), "--purge"], self.settings)

    def _ours(self, pid: int) -> bool:
        """Whether the process lives (a zombie does not) and was started by this cluster's script."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            return f"SLURM_CONF={self.configuration}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        return False


def starter_named_by_environment() -> Path | None:
    """The starter script that the variable names, None where it is not set."""
    named = os.environ.get(VARIABLE)
    return Path(named).absolute() if named else None


def free_ports(count: int) -> int:
    """The first of `count` loopback ports of which the ones that a cluster listens on are free.

    The range depends on the process id, so that two sessions that start at once do not choose the same, and lies below
    the ports that the kernel hands out by itself.
    """
    for attempt in range(120):
        first = 20_000 + ((os.getpid() + attempt * 7) % 120) * count
        if all(_free(first + offset) for offset in (0, 1, 10, 11)):
            return first
    raise LabError("no free ports between 20000 and 32000")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _up(starter: Path, settings: Mapping[str, str]) -> Path:
    printed = _run([str(starter)], settings)
    found = re.search(r"SLURM_CONF='?([^'\n]+)'?", printed)
    if found is None:
        raise LabError(f"{starter} did not print where its configuration lies: {printed.strip()!r}")
    return Path(found[1])


def _run(command: list[str], settings: Mapping[str, str]) -> str:
    # The daemons keep their standard error open, so it must not be a pipe that somebody waits for.
    errors = Path(settings["SLURM_LAB"]).with_suffix(".err")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
    with errors.open("wb") as file:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=file,
            env={**inherited, **settings},
            timeout=START_SECONDS,
            check=False,
        )
    said = errors.read_text(encoding="utf-8", errors="replace").strip()
    errors.unlink(missing_ok=True)
    if ended.returncode != 0:
        last = said.splitlines()[-1] if said else f"exit code {ended.returncode}"
        raise LabError(f"{command[0]} failed: {last}")
    return ended.stdout.decode()
