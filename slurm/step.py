"""The `srun` command that starts the ranks of one trial inside a job.

What signals do to it (tried on SLURM 22.05):

- SIGUSR1 to srun goes on to all its tasks. One that comes before the tasks run is swallowed, for some of them or all,
  so it has to be repeated until srun ends.
- SIGTERM to srun kills the tasks at once, without a SIGTERM to them; SIGKILL, too, within half a second.
- At `scancel`, a requeue, the end of the grace time and at the time limit, SLURM sends SIGTERM to the tasks itself, and
  SIGKILL after the cluster's KillWait (30 s by default): that long ranks have to save.
- A killed batch process takes the job to FAILED while its tasks still have KillWait to live, and a node that the
  controller has lost goes on computing. Whoever takes a run over must not rely on its former ranks being dead.
- A killed slurmd stops nothing: it finds its steps when it is back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from slurm.options import SlurmOptions

# What srun says when no task was started, although the job itself is well: it may be tried again. By itself srun waits
# while others use what it wants, and says so in a line that is no error, even when the tasks run in the end.
NOT_STARTED = (
    "Unable to create step",
    "Unable to confirm allocation",
    "Unable to contact slurm controller",
    "Requested nodes are busy",
    "Job credential expired",
    "Task launch for",
    "Socket timed out",
    "Communication connection failure",
    "Zero Bytes were transmitted or received",
)
# The job does not have what the step asks for, and never will.
NEVER = (
    "More processors requested than permitted",
    "Invalid generic resource",
    "Requested node configuration is not available",
)
TASK_ENDED = re.compile(r"srun: error: \S+: tasks? [\d,-]+: ")


@dataclass(frozen=True, kw_only=True)
class StepResources:
    """What the ranks of one trial get of their job.

    Attributes:
        nodes: Nodes.
        tasks_per_node: Ranks on each of them.
        cpus_per_task: Cores of each rank.
        gpus_per_node: GPUs on each node, a number or `kind:number`; None without.
        memory: Memory on each node, such as 16G; None: what the job has.
        options: More options of srun.
        container: Image in which the ranks run, None outside any.
        container_runtime: What opens the image: apptainer or pyxis.
        container_options: More options for it.
    """

    nodes: int = 1
    tasks_per_node: int = 1
    cpus_per_task: int = 1
    gpus_per_node: str | None = None
    memory: str | None = None
    options: tuple[str, ...] = ()
    container: str | None = None
    container_runtime: str | None = None
    container_options: tuple[str, ...] = ()

    @property
    def ranks(self) -> int:
        """Ranks in all."""
        return self.nodes * self.tasks_per_node

    @classmethod
    def of_trial(cls, options: SlurmOptions, *, nodes: int, tasks_per_node: int) -> StepResources:
        """One trial's share of a job with `options`, for a trial of `nodes` times `tasks_per_node` ranks."""
        return cls(
            nodes=nodes,
            tasks_per_node=tasks_per_node,
            cpus_per_task=options.cpus_per_task,
            gpus_per_node=options.gpus_of_trial(),
            # Of a job with one trial the step takes all, however much the cluster gave.
            memory=options.memory_of_trial() if options.trials_per_job > 1 else None,
            options=options.srun_options,
            container=options.container,
            container_runtime=options.container_runtime,
            container_options=options.container_options,
        )

    def as_mapping(self) -> dict[str, Any]:
        """Plain values, for a JSON file."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> StepResources:
        """The resources that `as_mapping` wrote."""
        plain: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        return cls(**plain)


def srun_command(
    command: Sequence[str], resources: StepResources, *, log: Path | None = None, name: str | None = None
) -> list[str]:
    """The words of the `srun` that runs `command` once for each rank.

    When one rank ends with a code other than 0, srun ends the others: SIGTERM, then SIGKILL after the cluster's
    KillWait. So ranks that end in good order, an interruption among it, end with 0 and say the rest in a file.
    Every number is said, since srun takes whatever is not from variables of the job, which are about all its trials.

    Args:
        command: What each rank runs, already with the interpreter of the container where there is one.
        resources: What the ranks get.
        log: File to which the output of all ranks is appended; None: srun's own output.
        name: Name of the step, for `squeue --steps` and the accounts.
    """
    words = [
        "srun",
        f"--nodes={resources.nodes}",
        f"--ntasks={resources.ranks}",
        f"--ntasks-per-node={resources.tasks_per_node}",
        f"--cpus-per-task={resources.cpus_per_task}",
        # Only what it asks for, so that the steps of other trials run beside it.
        "--exact",
        "--kill-on-bad-exit=1",
        # The ranks must not read the batch script's input.
        "--input=none",
        "--export=ALL",
    ]
    if resources.gpus_per_node is not None:
        words.append(f"--gpus-per-node={resources.gpus_per_node}")
    if resources.memory is not None:
        words.append(f"--mem={resources.memory}")
    if name is not None:
        words.append(f"--job-name={name}")
    if log is not None:
        # SLURM replaces %j, %t and the like in a file's name.
        words += [f"--output={str(log).replace('%', '%%')}", "--open-mode=append"]
    words += resources.options
    return [*words, *_in_container(command, resources)]


def _in_container(command: Sequence[str], resources: StepResources) -> list[str]:
    if resources.container is None:
        return list(command)
    folder = str(Path.cwd())
    if resources.container_runtime == "pyxis":
        return [
            f"--container-image={resources.container}",
            f"--container-mounts={folder}:{folder}",
            f"--container-workdir={folder}",
            *resources.container_options,
            *command,
        ]
    return [
        "apptainer",
        "exec",
        f"--bind={folder}:{folder}",
        f"--pwd={folder}",
        *resources.container_options,
        resources.container,
        *command,
    ]


def could_not_start(errors: str) -> bool:
    """Whether srun's own standard error (with a `log` for the ranks' output) says that it started no task, this time.

    False also for a step that asks for more than the job has: trying again would not help.
    """
    complaints = [line for line in errors.splitlines() if line.startswith("srun: error: ")]
    if any(TASK_ENDED.match(line) or any(message in line for message in NEVER) for line in complaints):
        return False
    return any(message in line for message in NOT_STARTED for line in complaints)
