"""The blows: what a shared cluster, its administrators, its users and its hardware do to a job, one function each.

A blow returns what it hit, or None where there was nothing to hit. Some break something that is to be mended later,
and name it.
"""

from __future__ import annotations

import dataclasses
import os
import random
import signal
from typing import Protocol

from benchmarks.chaos.targets import Cluster, Job, Role
from benchmarks.slurm_lab import LabError, SlurmLab


@dataclasses.dataclass(frozen=True)
class Hit:
    """What a blow hit.

    Attributes:
        target: The job, process or daemon.
        said: What the command answered, empty if nothing.
        breaks: A daemon or node that stays broken until somebody mends it, empty for none.
    """

    target: str
    said: str = ""
    breaks: str = ""


class Blow(Protocol):
    """One kind of blow."""

    def __call__(self, cluster: Cluster, rng: random.Random) -> Hit | None:
        """Hit something chosen by `rng`."""


def preempt(cluster: Cluster, rng: random.Random) -> Hit | None:
    """A more urgent job wants half a node or a whole one: SLURM sends its signal, SIGTERM, waits 20 s, and requeues."""
    job = _running(cluster, rng)
    if job is None:
        return None
    cpus = rng.choice([2, 4])
    options = ["-p", "urgent", "-w", job.node, "-c", str(cpus), "-o", "/dev/null", "-J", "urgent"]
    _, said = cluster.command("sbatch", "--parsable", *options, "--wrap", f"sleep {rng.randint(1, 5)}")
    return Hit(f"{job.node}, {cpus} CPUs", said)


def requeue(cluster: Cluster, rng: random.Random) -> Hit | None:
    """An administrator requeues a job without notice."""
    return _on_job(cluster, rng, "scontrol", "requeue")


def cancel(cluster: Cluster, rng: random.Random) -> Hit | None:
    """A user cancels a job."""
    return _on_job(cluster, rng, "scancel")


def warn_batch(cluster: Cluster, rng: random.Random) -> Hit | None:
    """The notice that comes before a time limit: SIGUSR1 to the batch step."""
    return _on_job(cluster, rng, "scancel", "--signal=USR1", "--batch")


def warn_steps(cluster: Cluster, rng: random.Random) -> Hit | None:
    """SIGUSR1 to the ranks alone."""
    return _on_job(cluster, rng, "scancel", "--signal=USR1")


def kill_rank(cluster: Cluster, rng: random.Random) -> Hit | None:
    """The kernel kills a rank, for example when memory is short."""
    return _kill(cluster, rng, "rank")


def kill_srun(cluster: Cluster, rng: random.Random) -> Hit | None:
    """The srun that watches over the ranks dies; they may live on."""
    return _kill(cluster, rng, "srun")


def kill_batch(cluster: Cluster, rng: random.Random) -> Hit | None:
    """The worker itself dies, and its job with it."""
    return _kill(cluster, rng, "batch")


def node_failure(cluster: Cluster, rng: random.Random) -> Hit | None:
    """A node is declared down: SLURM requeues its jobs elsewhere."""
    job = _running(cluster, rng)
    if job is None:
        return None
    _, said = cluster.command("scontrol", "update", f"nodename={job.node}", "state=down", "reason=chaos")
    return Hit(job.node, said, breaks=job.node)


class KillSlurmd:
    """The daemon of a node dies, its jobs go on without it."""

    def __init__(self, lab: SlurmLab) -> None:
        self.lab = lab

    def __call__(self, cluster: Cluster, rng: random.Random) -> Hit | None:
        """Kill one of them."""
        nodes = cluster.nodes()
        return _end_daemon(self.lab, rng.choice(nodes)) if nodes else None


class LoseNode:
    """A node is cut off: its daemon is gone, it is declared down, and its processes live on while the job restarts."""

    def __init__(self, lab: SlurmLab) -> None:
        self.lab = lab

    def __call__(self, cluster: Cluster, rng: random.Random) -> Hit | None:
        """Cut off a node that runs a job."""
        job = _running(cluster, rng)
        hit = _end_daemon(self.lab, job.node) if job is not None else None
        if hit is not None and job is not None:
            cluster.command("scontrol", "update", f"nodename={job.node}", "state=down", "reason=chaos")
        return hit


class RestartController:
    """The controller is stopped, and comes back later: nobody can ask about jobs, submit or start a step."""

    def __init__(self, lab: SlurmLab) -> None:
        self.lab = lab

    def __call__(self, cluster: Cluster, rng: random.Random) -> Hit | None:
        """Stop it."""
        return _end_daemon(self.lab, "slurmctld", signal.SIGTERM)


# How often each comes, relative to the others: what happens daily on a shared cluster comes more often here, too.
COMMON: dict[str, tuple[Blow, int]] = {
    "requeue": (requeue, 3),
    "cancel": (cancel, 1),
    "warn_batch": (warn_batch, 3),
    "warn_steps": (warn_steps, 2),
    "kill_rank": (kill_rank, 2),
    "kill_srun": (kill_srun, 1),
    "kill_batch": (kill_batch, 1),
}


def all_blows(lab: SlurmLab | None) -> dict[str, tuple[Blow, int]]:
    """Every kind of blow by its name, with its weight; those that hurt others too only on a cluster of our own."""
    if lab is None:
        return dict(COMMON)
    return {
        **COMMON,
        "preempt": (preempt, 4),
        "node_failure": (node_failure, 1),
        "kill_slurmd": (KillSlurmd(lab), 2),
        "lose_node": (LoseNode(lab), 1),
        "restart_controller": (RestartController(lab), 1),
    }


def _running(cluster: Cluster, rng: random.Random) -> Job | None:
    running = [job for job in cluster.jobs() or [] if job.state == "RUNNING" and job.node]
    return rng.choice(running) if running else None


def _on_job(cluster: Cluster, rng: random.Random, *command: str) -> Hit | None:
    job = _running(cluster, rng)
    if job is None:
        return None
    _, said = cluster.command(*command, job.id)
    return Hit(f"job {job.id} on {job.node}", said)


def _kill(cluster: Cluster, rng: random.Random, role: Role) -> Hit | None:
    found = cluster.processes(role)
    if not found:
        return None
    process = rng.choice(found)
    try:
        os.kill(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return None
    return Hit(f"{role} {process.pid} of job {process.job}")


def _end_daemon(lab: SlurmLab, daemon: str, how: signal.Signals = signal.SIGKILL) -> Hit | None:
    try:
        pid = lab.end(daemon, how)
    except LabError:
        return None  # it is down already, from a blow that was not mended so far
    return Hit(f"{daemon} {pid}", breaks=daemon)
