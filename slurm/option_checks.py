"""What is wrong with the values of `slurm.options.SlurmOptions`, one line for each problem."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING

from nines.errors import ConfigError, nearest
from slurm.time_limits import FORMS, seconds_of

if TYPE_CHECKING:
    from slurm.options import SlurmOptions

MEMORY = re.compile(r"(?P<count>[1-9]\d*)(?P<unit>[KMGT]?)")
KIB = {"K": 1, "": 1024, "M": 1024, "G": 1024**2, "T": 1024**3}  # SLURM reads a bare number as MiB
GPUS = re.compile(r"(?:(?P<kind>[A-Za-z][\w.-]*):)?(?P<count>\d+)")
EXTRA = re.compile(r"--(?P<name>[a-z][a-z0-9-]*)(=.*)?")
MAIL_TYPES = frozenset(
    {"NONE", "BEGIN", "END", "FAIL", "REQUEUE", "ALL", "INVALID_DEPEND", "STAGE_OUT", "ARRAY_TASKS"}
    | {"TIME_LIMIT", "TIME_LIMIT_50", "TIME_LIMIT_80", "TIME_LIMIT_90"}
)
# sbatch's options that have a key of their own.
OWN_KEYS = {
    "partition": "partition",
    "account": "account",
    "qos": "qos",
    "time": "time",
    "nodes": "nodes",
    "ntasks-per-node": "tasks_per_node",
    "gpus-per-node": "gpus_per_node",
    "gres": "gpus_per_node",
    "cpus-per-task": "cpus_per_task",
    "mem": "memory",
    "constraint": "constraint",
    "exclude": "exclude",
    "mail-user": "mail_user",
    "mail-type": "mail_type",
    "signal": "signal_seconds",
    "requeue": "requeue",
    "no-requeue": "requeue",
}
SET_BY_LAUNCHER = frozenset(
    {"array", "output", "error", "open-mode", "job-name", "comment", "chdir", "export", "ntasks", "wrap", "parsable"}
)


def kind_and_count(gpus: int | str | None) -> tuple[str | None, int]:
    """The kind and the number of GPUs in `a100:4` or `4`.

    >>> kind_and_count("a100:4"), kind_and_count(None)
    (('a100', 4), (None, 0))
    """
    match = GPUS.fullmatch(str(gpus)) if gpus is not None else None
    return (match["kind"], int(match["count"])) if match else (None, 0)


def kib(memory: str) -> int:
    """The KiB that SLURM takes `memory` for.

    Raises:
        ConfigError: It is no amount of memory.
    """
    match = MEMORY.fullmatch(memory)
    if match is None:
        raise ConfigError(f"{memory!r} is no amount of memory; write a whole number and K, M, G or T, such as 64G")
    return int(match["count"]) * KIB[match["unit"]]


def problems_of(options: SlurmOptions) -> Iterator[str]:
    """One line for each value that SLURM would refuse or that contradicts another."""
    yield from _text_problems(options)
    yield from _number_problems(options)
    yield from _time_problems(options)
    yield from _sharing_problems(options)
    yield from _mail_problems(options)
    yield from _raw_option_problems(options)
    if options.container and options.container_runtime is None:
        yield "launcher.container: needs launcher.container_runtime, apptainer or pyxis"
    if options.container is None and (options.container_runtime or options.container_options):
        yield "launcher.container_runtime: needs launcher.container, the image"


def _text_problems(options: SlurmOptions) -> Iterator[str]:
    for field in fields(options):
        value = getattr(options, field.name)
        for text in value if isinstance(value, tuple) else [value]:
            if not isinstance(text, str):
                continue
            if not text.strip():
                yield f"launcher.{field.name}: is empty; leave it out or write null"
            elif not text.isprintable():
                # Each would be a line of its own in the script, and so could be another option or command.
                yield f"launcher.{field.name} = {text!r}: line breaks and control characters are not allowed"


def _number_problems(options: SlurmOptions) -> Iterator[str]:
    for name in ("nodes", "tasks_per_node", "cpus_per_task", "trials_per_job", "max_running"):
        value = getattr(options, name)
        if value is not None and value < 1:
            yield f"launcher.{name} = {value}: must be at least 1"
    if not 1 <= options.signal_seconds <= 65535:
        yield f"launcher.signal_seconds = {options.signal_seconds}: SLURM takes 1 to 65535"


def _time_problems(options: SlurmOptions) -> Iterator[str]:
    try:
        limit = seconds_of(options.time)
    except ConfigError as error:
        yield f"launcher.time: {error}"
        return
    if limit <= 0:
        yield f"launcher.time = {options.time!r}: must be longer than nothing; SLURM takes {FORMS}"
    elif limit <= options.signal_seconds:
        yield (
            f"launcher.time = {options.time!r}: the job would be told to save at once, since "
            f"launcher.signal_seconds is {options.signal_seconds}"
        )


def _sharing_problems(options: SlurmOptions) -> Iterator[str]:
    if options.memory is not None:
        try:
            kib(options.memory)
        except ConfigError as error:
            yield f"launcher.memory: {error}"
    if options.gpus_per_node is None:
        return
    if not GPUS.fullmatch(str(options.gpus_per_node)):
        yield f"launcher.gpus_per_node = {options.gpus_per_node!r}: expected a number or kind:number, such as a100:4"
        return
    count = kind_and_count(options.gpus_per_node)[1]
    if options.trials_per_job > 0 and count % options.trials_per_job:
        yield (
            f"launcher.gpus_per_node = {options.gpus_per_node}: {options.trials_per_job} trials cannot share "
            f"{count} GPUs evenly; change launcher.trials_per_job"
        )


def _mail_problems(options: SlurmOptions) -> Iterator[str]:
    for kind in options.mail_type.split(",") if options.mail_type else []:
        if kind.upper() not in MAIL_TYPES:
            yield f"launcher.mail_type: there is no {kind!r}; {nearest(kind.upper(), MAIL_TYPES)}"
    if options.mail_type and not options.mail_user:
        yield "launcher.mail_type: needs launcher.mail_user, the address"


def _raw_option_problems(options: SlurmOptions) -> Iterator[str]:
    for option in options.extra:
        match = EXTRA.fullmatch(option)
        if match is None:
            yield f"launcher.extra: {option!r} is no option of sbatch; write --name or --name=value"
        elif match["name"] in OWN_KEYS:
            yield f"launcher.extra: {option!r} has a key of its own, launcher.{OWN_KEYS[match['name']]}"
        elif match["name"] in SET_BY_LAUNCHER:
            yield f"launcher.extra: {option!r} is set by the launcher"
    for option in options.srun_options:
        if not option.startswith("-"):
            yield f"launcher.srun_options: {option!r} is no option; write --name=value as one text"
