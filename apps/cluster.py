"""What `nines doctor` says of SLURM: whether this machine has its commands, whether it answers, its partitions."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

from apps.findings import Finding, Level

NEEDED = ("sbatch", "squeue", "scontrol", "scancel", "srun")
ANSWER_SECONDS = 15
# Partition, default mark included; availability; time limit; nodes allocated/idle/other/total; generic resources.
COLUMNS = "%P|%a|%l|%F|%G"


def scheduler(_: str) -> Iterator[Finding]:
    """SLURM, which only `launcher=slurm` needs."""
    found = shutil.which("sbatch")
    if found is None:
        yield Finding("slurm", "no sbatch on the PATH; runs and sweeps stay on this machine")
        return
    gone = [name for name in NEEDED if shutil.which(name) is None]
    if gone:
        remedy = "launcher=slurm needs them; load the cluster's module, or install its client package"
        yield Finding("slurm", f"{found}, but no {', '.join(gone)}", Level.NOTE, remedy)
        return
    version = _ask("sbatch", "--version")
    listed = _ask("sinfo", "--noheader", f"--format={COLUMNS}") if shutil.which("sinfo") else ("", "no sinfo")
    if listed[1]:
        remedy = "ask again in a minute; `scontrol ping` tells whether the controller is up"
        yield Finding("slurm", f"{version[0] or found} does not answer: {listed[1]}", Level.NOTE, remedy)
        return
    yield Finding("slurm", f"{version[0]} ({found})")
    for line in listed[0].splitlines():
        name, available, limit, nodes, resources = (line.split("|") + [""] * 5)[:5]
        _, idle, _, total = (nodes.split("/") + ["?"] * 4)[:4]
        devices = "" if resources in {"", "(null)"} else f", {resources}"
        value = f"{available}, {idle} of {total} nodes idle, time limit {limit}{devices}"
        yield Finding(f"  partition {name}", value)
    accounting = (
        _ask("sacct", "--noheader", "--format=JobID", "--starttime=now") if shutil.which("sacct") else ("", "x")
    )
    if accounting[1]:
        yield Finding("  accounting", "off; a job that left the queue is judged by its run folder alone")


def _ask(*command: str) -> tuple[str, str]:
    """What a command prints, and the first line of why it failed ("" when it did not)."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return "", f"no answer within {ANSWER_SECONDS} s"
    except OSError as error:
        return "", str(error)
    if done.returncode == 0:
        return done.stdout.strip(), ""
    return "", next(iter(done.stderr.strip().splitlines()), f"{command[0]} ended with code {done.returncode}")
