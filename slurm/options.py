"""What a user may ask of the cluster: one field for each key of conf/launcher/slurm*.yaml, all checked at once."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Literal

from nines.errors import ConfigError
from slurm import option_checks


@dataclass(frozen=True, kw_only=True)
class SlurmOptions:
    """How a cluster is asked for a job, and how a job runs its trials.

    Args:
        partition: SLURM's partition; None: the cluster's default. So for `account` and `qos`.
        time: Time limit of one job, in SLURM's forms.
        nodes: Nodes of one trial; None: as many as the trainer's `num_nodes`.
        tasks_per_node: Ranks of one trial on each node; None: as many as the trainer's `devices`.
        gpus_per_node: GPUs of the job on each node, a number or `kind:number`; the trials of a job share them evenly.
        cpus_per_task: Cores of each rank.
        memory: Memory of the job on each node, such as 64G, shared evenly, too; None: the cluster's default, which has
            to be one by core or by GPU when several trials share a job.
        constraint: Features that the nodes must have, such as `a100&nvlink`.
        exclude: Nodes not to use, such as `node[3-4]`.
        mail_user: Address for mail about the job.
        mail_type: Which mail, a list with commas, such as `END,FAIL`.
        signal_seconds: How long before the time limit the job is told to save, 1 to 65535. Preemption sends the same
            notice, where the cluster is set up to, and leaves as long as the partition's grace time.
        requeue: Go back into the queue when the time is over, and let SLURM do so after preemption and node failure.
        trials_per_job: Trials that run in one job at the same time.
        max_running: Most jobs of an array that run at the same time; None: no bound.
        container: Image in which the ranks run; the process that starts them runs outside.
        container_runtime: What opens the image.
        container_options: More options for it, such as `--nv`.
        container_python: The interpreter inside the image.
        setup: Lines of shell that run before anything else, such as `module load cuda`.
        extra: More options of sbatch, such as `--reservation=night`.
        srun_options: More options of srun, for the ranks.
        python: Interpreter of the job outside a container; None: the one that submits.
        require_clean: Refuse to submit from a checkout with uncommitted changes.

    Raises:
        ConfigError: A value that SLURM would refuse, or that contradicts another; one line for each.
    """

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    time: str = "24:00:00"
    nodes: int | None = None
    tasks_per_node: int | None = None
    gpus_per_node: int | str | None = None
    cpus_per_task: int = 4
    memory: str | None = None
    constraint: str | None = None
    exclude: str | None = None
    mail_user: str | None = None
    mail_type: str | None = None
    signal_seconds: int = 120
    requeue: bool = True
    trials_per_job: int = 1
    max_running: int | None = None
    container: str | None = None
    container_runtime: Literal["apptainer", "pyxis"] | None = None
    container_options: tuple[str, ...] = ()
    container_python: str = "python3"
    setup: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    srun_options: tuple[str, ...] = ()
    python: str | None = None
    require_clean: bool = False

    def __post_init__(self) -> None:
        for name in ("container_options", "setup", "extra", "srun_options"):
            value = getattr(self, name)
            if isinstance(value, str):
                raise ConfigError(f"launcher.{name}: expected a list of text, not the text {value!r}")
            # A list would leave the options mutable, and unequal to the same ones read back.
            object.__setattr__(self, name, tuple(value))
        if problems := list(option_checks.problems_of(self)):
            summary = [f"{len(problems)} problems with the launcher:"] if len(problems) > 1 else []
            raise ConfigError("\n  ".join([*summary, *problems]))

    @property
    def job_python(self) -> str:
        """The interpreter of the batch step."""
        return self.python or sys.executable

    @property
    def rank_python(self) -> str:
        """The interpreter of the ranks."""
        return self.container_python if self.container else self.job_python

    def gpus_of_trial(self) -> str | None:
        """`gpus_per_node` of one trial, as srun wants it; None without GPUs."""
        kind, count = option_checks.kind_and_count(self.gpus_per_node)
        share = count // self.trials_per_job
        return None if not share else f"{kind}:{share}" if kind else str(share)

    def memory_of_trial(self) -> str | None:
        """`memory` of one trial on a node, rounded down to KiB; None when the cluster decides."""
        if self.memory is None:
            return None
        if self.trials_per_job == 1:
            return self.memory
        return f"{option_checks.kib(self.memory) // self.trials_per_job}K"
