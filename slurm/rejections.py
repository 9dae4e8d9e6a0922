"""What the user asked for and SLURM refuses or can never grant, in one line that names the launcher's key.

The request is read from the batch script itself, so that it is what SLURM was told.
"""

from __future__ import annotations

import re

from nines.errors import SchedulerError, UserError, nearest
from slurm.commands import CommandRunner, Finished
from slurm.submission import directives

# SLURM's words, in any case, to the launcher's key and the option of sbatch behind it.
BLAMED = (
    ("invalid partition", "partition", "partition"),
    ("not permitted to use this partition", "partition", "partition"),
    ("invalid account", "account", "account"),
    ("invalid qos", "qos", "qos"),
    ("accounting/qos policy", "qos", "qos"),
    ("invalid feature", "constraint", "constraint"),
    ("invalid node name", "exclude", "exclude"),
    ("generic resource", "gpus_per_node", "gpus-per-node"),
    ("time limit", "time", "time"),
    ("--mail-type", "mail_type", "mail-type"),
    ("reservation", "extra", "reservation"),
    ("license", "extra", "licenses"),
)
UNKNOWN_OPTION = re.compile(r"(?:unrecognized|ambiguous|invalid) option '?(?P<option>--[\w-]+)")
# No node, or not enough of them, can ever give what was asked for.
TOO_MUCH = (
    "node configuration is not available",
    "memory specification can not be satisfied",
    "more processors requested than permitted",
    "node count specification invalid",
    "cpu count specification invalid",
    "cpu count per node can not be satisfied",
)
# Reasons for which a job waits until somebody changes it, or the cluster.
STUCK = frozenset(
    {
        "PartitionConfig",
        "PartitionNodeLimit",
        "PartitionTimeLimit",
        "BadConstraints",
        "AccountNotAllowed",
        "QOSNotAllowed",
        "InvalidAccount",
        "InvalidQOS",
        "JobHeldAdmin",
        "MaxMemPerLimit",
        "AssociationTimeLimit",
        "QOSTimeLimit",
    }
)
PER_JOB = re.compile(r"(Assoc|QOS)(Max|Min)\w+Per(Job|Node)(Limit)?")
# Options by which a job asks for resources, as the launcher calls them.
RESOURCES = {
    "partition": "partition",
    "nodes": "nodes",
    "ntasks-per-node": "ranks a node",
    "cpus-per-task": "cpus_per_task",
    "gpus-per-node": "gpus_per_node",
    "mem": "memory",
    "time": "time",
    "constraint": "constraint",
    "exclude": "exclude",
}
WHO_SAYS = re.compile(r"^sbatch: (error: )?(Batch job submission failed: )?")
# A large cluster has dozens of partitions.
MOST_PARTITIONS = 4
NODES_FORMAT = "%R|%D|%c|%m|%G|%l"
ASK_FOR_LESS = "ask for less with launcher.cpus_per_task, gpus_per_node, memory, nodes or time"


class JobRejected(UserError, SchedulerError):
    """SLURM refuses what the user asked for; asking again changes nothing."""


def rejection(script: str, finished: Finished, runner: CommandRunner) -> SchedulerError:
    """What to say of a batch script that sbatch refused.

    Args:
        script: What was submitted.
        finished: How sbatch ended.
        runner: Asks the cluster what there is instead.

    Returns:
        A `JobRejected` where the user's request is to blame.
    """
    said = WHO_SAYS.sub("", finished.complaint)
    complaints = finished.errors.lower()
    asked = directives(script)
    if (unknown := UNKNOWN_OPTION.search(finished.errors)) is not None:
        return JobRejected(f"launcher.extra: this SLURM's sbatch knows no option {unknown['option']}")
    if "invalid job array" in complaints:
        return JobRejected(
            f"workers: the cluster takes no array as long as {asked.get('array')} (MaxArraySize); set fewer workers"
        )
    if any(words in complaints for words in TOO_MUCH):
        return JobRejected(f"{no_node_has(script, runner)}; {ASK_FOR_LESS}")
    blamed = next(((key, option) for words, key, option in BLAMED if words in complaints), None)
    if blamed is None:
        return SchedulerError(f"SLURM did not take the job: {said}")
    # sbatch speaks of generic resources for --gres, too, which only launcher.extra can ask for.
    key, option = ("extra", "gres") if blamed[1] == "gpus-per-node" and blamed[1] not in asked else blamed
    name = f"--{option}=" if key == "extra" else ""
    given = f" = {name}{asked[option]}" if option in asked else ""
    return JobRejected(f"launcher.{key}{given}: SLURM says: {said}{_instead(key, asked.get(option), runner)}")


def never_starts(reason: str) -> bool:
    """Whether a job that waits for `reason` (SLURM's word) waits until it, or the cluster, is changed."""
    return reason in STUCK or PER_JOB.fullmatch(reason) is not None


def no_node_has(script: str, runner: CommandRunner) -> str:
    """What the job of `script` asks for, beside what the nodes have."""
    asked = directives(script)
    wanted = ", ".join(f"{name} {asked[option]}" for option, name in RESOURCES.items() if option in asked)
    lines = _lines(runner, NODES_FORMAT)
    lines = [line for line in lines if line.partition("|")[0] == asked.get("partition")] or lines
    there = [_nodes(line) for line in lines[:MOST_PARTITIONS]]
    more = [f"and {len(lines) - len(there)} more (sinfo lists them)"] if len(lines) > len(there) else []
    have = f"; there are {'; '.join([*there, *more])}" if there else ""
    return f"no nodes fit what the launcher asks for ({wanted}){have}"


def _nodes(line: str) -> str:
    partition, count, cores, memory, devices, limit = (line.split("|") + [""] * 6)[:6]
    gpus = "no GPUs" if devices in {"", "(null)"} else devices
    return f"partition {partition}: {count} nodes of {cores} cores, {memory} MB, {gpus}, time limit {limit}"


def _instead(key: str, given: str | None, runner: CommandRunner) -> str:
    """The values that the cluster knows, where it tells them."""
    columns = {"partition": "%R", "constraint": "%f", "exclude": "%N", "gpus_per_node": "%G"}
    if key not in columns:
        return ""
    names = {name for line in _lines(runner, columns[key]) for name in _split(line, key) if name != "(null)"}
    if not names:
        return "" if key == "partition" else "; the nodes have none"
    return f"; {nearest(given or '', names)}"


def _split(line: str, key: str) -> list[str]:
    # A list of nodes has commas inside brackets, too.
    return [line] if key == "exclude" else line.split(",")


def _lines(runner: CommandRunner, columns: str) -> list[str]:
    try:
        finished = runner(["sinfo", "--noheader", f"--format={columns}"])
    except SchedulerError:
        return []  # what it said of the job is worth telling all the same
    return [line.strip() for line in finished.output.splitlines() if line.strip()] if finished.code == 0 else []
