"""The group `launcher` of a composed configuration: what was chosen, and how many ranks its trainer needs there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nines.errors import ConfigError
from slurm.time_limits import FORMS

if TYPE_CHECKING:
    from slurm.options import SlurmOptions

GROUP = "launcher"
TARGET = "slurm.options.SlurmOptions"
# What Lightning understands as "all that there are".
ALL_DEVICES = ("auto", "-1", -1)


def is_launcher(override: str) -> bool:
    """Whether an override says where to run: of the group `launcher` or a key in it."""
    key = override.partition("=")[0].lstrip("+~").partition("@")[0]
    return key.partition(".")[0] == GROUP


def without_launcher(overrides: Sequence[str]) -> list[str]:
    """`overrides` without those that say where to run: what a rank, a trial and the run folder are told."""
    return [override for override in overrides if not is_launcher(override)]


def read_launcher(content: Mapping[str, Any] | None) -> SlurmOptions | None:
    """The options of the cluster, None to run on this machine.

    Args:
        content: The group as plain values.

    Raises:
        ConfigError: A key is unknown, a value is of another type, out of range, or contradicts another.
    """
    if not content or "_target_" not in content:
        if content:
            raise ConfigError(f"launcher: {', '.join(sorted(content))} mean nothing to it; choose launcher=slurm")
        return None
    if content["_target_"] != TARGET:
        raise ConfigError(f"launcher._target_ = {content['_target_']!r}: the only launcher with options is {TARGET}")
    from apps.signatures import call_problems, import_target

    options = import_target(TARGET)
    arguments = {key: value for key, value in content.items() if key != "_target_"}
    if isinstance(limit := arguments.get("time"), int):
        # Hydra reads digits alone as a number; whether minutes or hours were meant is for the user to say.
        raise ConfigError(
            f"launcher.time = {limit}: SLURM takes {FORMS}; quote it as text, such as launcher.time=\"'2:00:00'\""
        )
    if problems := call_problems(options, arguments, where=GROUP, name=TARGET):
        raise ConfigError("\n".join(problems) if len(problems) == 1 else "\n  ".join(["launcher:", *problems]))
    made: SlurmOptions = options(**arguments)
    return made


def plain(config: Any) -> dict[str, Any]:
    """A group of a composed configuration as plain values, references filled in; {} where there is none."""
    from omegaconf import OmegaConf

    container = OmegaConf.to_container(config, resolve=True) if config is not None else {}
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def ranks(trainer: Mapping[str, Any], options: SlurmOptions) -> tuple[int, int]:
    """Nodes of one run, and ranks on each of them: as the trainer says, which the launcher must not contradict.

    Args:
        trainer: The group `trainer` as plain values.
        options: The options of the cluster.

    Raises:
        ConfigError: The two contradict each other, or the GPUs do not suffice.
    """
    nodes = int(trainer.get("num_nodes") or 1)
    if options.nodes is not None and options.nodes != nodes:
        raise ConfigError(
            f"launcher.nodes={options.nodes} contradicts trainer.num_nodes={nodes}; "
            f"set trainer.num_nodes={options.nodes}, or leave launcher.nodes out"
        )
    gpus = _gpus(options) if trainer.get("accelerator", "auto") != "cpu" else None
    tasks = _devices(trainer.get("devices", "auto"), gpus=gpus)
    if options.tasks_per_node is not None and options.tasks_per_node != tasks:
        raise ConfigError(
            f"launcher.tasks_per_node={options.tasks_per_node} contradicts trainer.devices={trainer.get('devices')}; "
            f"set trainer.devices={options.tasks_per_node}, or leave launcher.tasks_per_node out"
        )
    needs_gpus = trainer.get("accelerator") in {"gpu", "cuda"}
    if needs_gpus and not gpus:
        raise ConfigError(
            f"trainer.accelerator={trainer['accelerator']} needs GPUs, and launcher.gpus_per_node asks for none; "
            f"set launcher.gpus_per_node={tasks * options.trials_per_job}"
        )
    if gpus is not None and tasks > gpus > 0:
        share = f" for each of {options.trials_per_job} trials" if options.trials_per_job > 1 else ""
        raise ConfigError(
            f"trainer.devices={tasks} needs {tasks} GPUs a node, and launcher.gpus_per_node={options.gpus_per_node} "
            f"gives {gpus}{share}; set launcher.gpus_per_node={tasks * options.trials_per_job}"
        )
    return nodes, tasks


def local_ranks(trainer: Mapping[str, Any]) -> int:
    """Processes of one trial on this machine, 1 for a trainer that takes what there is.

    Raises:
        ConfigError: The trainer wants several machines.
    """
    if int(trainer.get("num_nodes") or 1) > 1:
        raise ConfigError(f"trainer.num_nodes={trainer['num_nodes']} needs several machines; choose launcher=slurm")
    return _devices(trainer.get("devices", "auto"), gpus=None)


def _gpus(options: SlurmOptions) -> int:
    share = options.gpus_of_trial()
    return int(share.rpartition(":")[2]) if share else 0


def _devices(devices: Any, *, gpus: int | None) -> int:
    """Number of devices on each node that Lightning's `devices` means; all of them are the GPUs that the job has."""
    if devices in ALL_DEVICES:
        return gpus or 1
    if isinstance(devices, str) and "," in devices:
        return len([part for part in devices.split(",") if part.strip()])
    if isinstance(devices, Sequence) and not isinstance(devices, str):
        return len(devices)
    try:
        return max(int(devices), 1)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"trainer.devices = {devices!r}: expected a number, a list of numbers, or auto") from error
