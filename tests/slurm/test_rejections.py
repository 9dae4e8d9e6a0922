"""The messages were printed by SLURM 22.05's sbatch."""

from collections.abc import Sequence
from typing import Any

import pytest

from nines.errors import SchedulerError, UserError
from slurm.commands import Finished
from slurm.queue import Queue
from slurm.rejections import JobRejected, never_starts, no_node_has

SCRIPT = """#!/bin/bash
#SBATCH --array=0-1999
#SBATCH --partition=mian
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=2
#SBATCH --cpus-per-task=4
#SBATCH --gpus-per-node=9
#SBATCH --mem=9000G
#SBATCH --constraint=h100
#SBATCH --exclude=node9
#SBATCH --reservation=night

true
"""
PREFIX = "sbatch: error: Batch job submission failed: "


class Refusing:
    """A cluster that refuses every job with `message`, and tells what it has unless it is `silent`."""

    def __init__(self, message: str, *, silent: bool = False) -> None:
        self.message = message
        self.silent = silent

    def __call__(self, command: Sequence[str], **_: Any) -> Finished:
        if command[0] == "sbatch":
            return Finished(1, errors=self.message + "\n")
        if self.silent:
            raise SchedulerError("there is no command 'sinfo' here")
        answers = {"%R": "main\nurgent\n", "%f": "a100,nvlink\n", "%N": "node[1-2]\n", "%G": "gpu:2\n"}
        return Finished(0, answers.get(command[2].partition("=")[2], "main|2|4|8000|gpu:2|infinite\n"))


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            f"sbatch: error: invalid partition specified: mian\n{PREFIX}Invalid partition name specified",
            ["launcher.partition = mian: ", "did you mean 'main'? (valid: main, urgent)"],
        ),
        (f"{PREFIX}Invalid feature specification", ["launcher.constraint = h100: ", "valid: a100, nvlink"]),
        (f"{PREFIX}Invalid node name specified", ["launcher.exclude = node9: ", "node[1-2]"]),
        ("sbatch: error: Invalid generic resource (gres) specification", ["launcher.gpus_per_node = 9: ", "gpu:2"]),
        (
            f"{PREFIX}Requested reservation is invalid",
            ["launcher.extra = --reservation=night: SLURM says: Requested reservation is invalid"],
        ),
        (f"{PREFIX}Invalid qos specification", ["launcher.qos: "]),
        ("sbatch: unrecognized option '--nosuch=1'\nTry \"sbatch --help\"", ["launcher.extra: ", "--nosuch"]),
        (f"{PREFIX}Invalid job array specification", ["workers: ", "0-1999", "MaxArraySize"]),
        (
            f"sbatch: error: Memory specification can not be satisfied\n{PREFIX}Requested node configuration is not "
            "available",
            [
                *["partition mian", "ranks a node 2", "cpus_per_task 4", "gpus_per_node 9", "memory 9000G"],
                "partition main: 2 nodes of 4 cores, 8000 MB, gpu:2",
            ],
        ),
    ],
)
def test_what_the_user_asked_for_in_vain_is_named_by_its_key(message: str, said: list[str]) -> None:
    with pytest.raises(JobRejected) as rejected:
        Queue(Refusing(message)).submit(SCRIPT)
    assert isinstance(rejected.value, UserError)
    assert rejected.value.exit_code == 2
    assert "\n" not in str(rejected.value)
    for part in said:
        assert part in str(rejected.value)


def test_a_cluster_that_tells_nothing_of_itself_still_names_the_key() -> None:
    with pytest.raises(JobRejected, match=r"launcher\.partition = mian: SLURM says: invalid partition"):
        Queue(Refusing("sbatch: error: invalid partition specified: mian", silent=True)).submit(SCRIPT)


def test_what_is_not_the_users_mistake_stays_an_error_of_the_scheduler() -> None:
    with pytest.raises(SchedulerError, match=r"did not take the job: .*I/O error") as failed:
        Queue(Refusing(f"{PREFIX}I/O error writing script/environment to file")).submit(SCRIPT)
    assert failed.value.exit_code == 1


def test_of_many_kinds_of_nodes_only_those_that_matter_are_listed() -> None:
    lines = [f"p{number}|2|4|8000|(null)|1:00:00\n" for number in range(30)]

    def cluster(command: Sequence[str], **_: Any) -> Finished:
        return Finished(0, "".join(lines))

    asked = "#!/bin/bash\n#SBATCH --partition=p7\n"
    assert no_node_has(asked, cluster).count("partition p") == 2  # what is asked for, and what there is
    anywhere = no_node_has("#!/bin/bash\n#SBATCH --nodes=9\n", cluster)
    assert anywhere.count("partition p") == 4
    assert "and 26 more" in anywhere


@pytest.mark.parametrize(
    ("reason", "stuck"),
    [
        ("PartitionConfig", True),
        ("PartitionNodeLimit", True),
        ("BadConstraints", True),
        ("QOSMaxCpuPerJobLimit", True),
        ("AssocMaxNodePerJobLimit", True),
        ("Resources", False),
        ("Priority", False),
        ("QOSMaxJobsPerUserLimit", False),
        ("AssocGrpCpuLimit", False),
        ("", False),
    ],
)
def test_only_reasons_that_time_does_not_cure_are_warned_of(reason: str, stuck: bool) -> None:
    assert never_starts(reason) is stuck
