"""The SLURM cluster that the integration tests run on, shared by a test session.

Where the variable NINES_SLURM_UP names a starter script, a private cluster is started by it, with a folder and ports of
its own; if that fails, the tests fail. Else the cluster that `sinfo` finds is used, and tests that would hurt it are
skipped; without one, all are.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.slurm_lab import SlurmLab, starter_named_by_environment
from tests.slurm_training import job_name

REPOSITORY = Path(__file__).parents[1]
JOB_SECONDS = 120.0


class SlurmCluster:
    """Commands of one cluster, and the daemons where it is a private one.

    Attributes:
        lab: The private cluster, None for one that others use as well.
        environment: Variables that lead commands to it, and its jobs to the modules of the tests.
    """

    def __init__(self, lab: SlurmLab | None) -> None:
        self.lab = lab
        self.environment: dict[str, str] = {**(lab.environment if lab else {}), "PYTHONPATH": str(REPOSITORY)}

    def run(self, *command: str | Path, check: bool = True, timeout: float = 60.0) -> str:
        """What `command` prints on this cluster."""
        ended = subprocess.run(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env={**os.environ, **self.environment},
            timeout=timeout,
            check=False,
        )
        if check:
            assert ended.returncode == 0, f"{' '.join(map(str, command))}: {ended.stderr.strip()}"
        return ended.stdout.strip()

    def jobs(self, *fields: str, partition: str = "") -> list[list[str]]:
        """Pending and running jobs, one row a job, each task of an array by itself; fields as `squeue -o` names them.

        A controller that is being restarted is asked again.
        """
        form = "|".join(fields or ("%A", "%T"))
        command = ["squeue", "-h", "-r", "-o", form, *(["-p", partition] if partition else [])]
        end = time.monotonic() + 30
        while True:
            try:
                return [line.strip().split("|") for line in self.run(*command).splitlines()]
            except AssertionError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)

    def tasks_of(self, job: str) -> list[str]:
        """The tasks of an array that wait or run, or the job itself where it is none."""
        return [task for whole, task in self.jobs("%F", "%i") if whole == job]

    def processes(self, words: str, *, job: str = "") -> list[int]:
        """Processes of this cluster's jobs, or of one of them, whose command line holds `words`; oldest first."""
        found: list[int] = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                lines = (entry / "environ").read_bytes().decode(errors="replace").split("\0")
                command = (entry / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            configuration = self.environment.get("SLURM_CONF")
            variables = dict(line.partition("=")[::2] for line in lines)
            ours = configuration in (None, variables.get("SLURM_CONF"))
            if ours and job_name(variables) and job in ("", job_name(variables)) and words in command:
                found.append(int(entry.name))
        return sorted(found)

    def clear(self) -> None:
        """End what a test has left behind, and mend what it broke."""
        if self.lab is None:
            return
        self.lab.mend()
        jobs = sorted({row[0] for row in self.jobs("%A")})
        if jobs:
            # SIGKILL leaves no time for a requeue.
            self.run("scancel", "--full", "--signal=KILL", *jobs, check=False)
            self.run("scancel", *jobs, check=False)
        wait_until(lambda: not self.jobs("%A"), seconds=60, what="the cluster is empty")
        for line in self.run("sinfo", "-h", "-N", "-p", "main", "-o", "%N %T").splitlines():
            name, state = line.split()
            if state.rstrip("*").startswith(("down", "drain")):
                self.run("scontrol", "update", f"nodename={name}", "state=resume", check=False)


def nines(*words: str) -> str:
    """What the command line prints on standard output; it has to succeed."""
    ended = subprocess.run(
        [sys.executable, "-m", "apps.cli", *words],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def wait_until(holds: Callable[[], bool], *, seconds: float = JOB_SECONDS, what: str = "") -> None:
    """Wait for a condition, looking ten times a second."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not in {seconds:.0f} s: {what or 'what the test waits for'}"
        time.sleep(0.1)


@contextmanager
def private_cluster(*, accounting: bool = True) -> Iterator[SlurmCluster]:
    """A cluster of its own from the starter script; skipped where none is named."""
    starter = starter_named_by_environment()
    if starter is None:
        pytest.skip("NINES_SLURM_UP names no script that starts a private SLURM cluster")
    folder = Path(tempfile.mkdtemp(prefix="nines-slurm-"))
    try:
        lab = SlurmLab.start(starter, folder, accounting=accounting)
        try:
            yield SlurmCluster(lab)
        finally:
            lab.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def cluster_on_path() -> SlurmCluster | None:
    """The cluster that the usual commands find, None where there is none or it does not answer."""
    if shutil.which("sinfo") is None or shutil.which("sbatch") is None:
        return None
    try:
        answered = subprocess.run(["sinfo", "-h"], capture_output=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return None
    return SlurmCluster(None) if answered.returncode == 0 else None


@contextmanager
def any_cluster() -> Iterator[SlurmCluster]:
    """The private cluster where a script is named, else the one on the PATH, else a skip with the reason."""
    if starter_named_by_environment() is not None:
        with private_cluster() as cluster:
            yield cluster
        return
    found = cluster_on_path()
    if found is None:
        pytest.skip("no SLURM: sinfo finds no cluster, and NINES_SLURM_UP names no script that starts one")
    yield found
