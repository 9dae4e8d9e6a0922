from pathlib import Path

import pytest

from slurm.options import SlurmOptions
from slurm.step import StepResources, could_not_start, srun_command

COMMAND = ("python", "-m", "sweeps.rank", "--job", "a b.json")


def test_every_number_is_said_for_srun_would_take_the_jobs() -> None:
    resources = StepResources(nodes=2, tasks_per_node=4, cpus_per_task=8, gpus_per_node="a100:4", memory="16G")
    words = srun_command(COMMAND, resources, log=Path("/runs/50%/log.txt"), name="trial-3")
    assert words[0] == "srun"
    assert words[-len(COMMAND) :] == list(COMMAND)
    assert set(words[1 : -len(COMMAND)]) == {
        "--nodes=2",
        "--ntasks=8",
        "--ntasks-per-node=4",
        "--cpus-per-task=8",
        "--gpus-per-node=a100:4",
        "--mem=16G",
        "--exact",
        "--kill-on-bad-exit=1",
        "--input=none",
        "--export=ALL",
        "--job-name=trial-3",
        # SLURM replaces what follows a single percent sign.
        "--output=/runs/50%%/log.txt",
        "--open-mode=append",
    }


def test_what_was_not_asked_for_is_not_said() -> None:
    words = srun_command(COMMAND, StepResources())
    assert not [word for word in words if word.startswith(("--gpus", "--mem", "--output", "--job-name"))]


def test_a_trial_gets_its_share_of_a_packed_job() -> None:
    options = SlurmOptions(
        gpus_per_node=4, memory="64G", cpus_per_task=2, trials_per_job=2, srun_options=("--cpu-bind=cores",)
    )
    resources = StepResources.of_trial(options, nodes=1, tasks_per_node=2)
    assert (resources.ranks, resources.gpus_per_node, resources.memory) == (2, "2", f"{32 * 1024**2}K")
    assert "--cpu-bind=cores" in srun_command(COMMAND, resources)


def test_a_trial_alone_takes_the_memory_of_its_job_whatever_the_cluster_gave() -> None:
    assert StepResources.of_trial(SlurmOptions(memory="64G"), nodes=1, tasks_per_node=1).memory is None


def test_resources_survive_json() -> None:
    resources = StepResources(nodes=2, gpus_per_node="1", options=("--x",), container="a", container_options=("--nv",))
    assert StepResources.from_mapping(resources.as_mapping()) == resources
    assert isinstance(resources.as_mapping()["options"], list)


def test_apptainer_wraps_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    resources = StepResources(container="my nines.sif", container_runtime="apptainer", container_options=("--nv",))
    words = srun_command(COMMAND, resources)
    inside = words[words.index("apptainer") :]
    assert inside == [
        "apptainer",
        "exec",
        f"--bind={tmp_path}:{tmp_path}",
        f"--pwd={tmp_path}",
        "--nv",
        "my nines.sif",
        *COMMAND,
    ]


def test_pyxis_is_options_of_srun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    more = ("--no-container-entrypoint",)
    resources = StepResources(container="nines.sqsh", container_runtime="pyxis", container_options=more)
    words = srun_command(COMMAND, resources)
    assert words[-len(COMMAND) :] == list(COMMAND)
    assert words[-len(COMMAND) - 4 : -len(COMMAND)] == [
        "--container-image=nines.sqsh",
        f"--container-mounts={tmp_path}:{tmp_path}",
        f"--container-workdir={tmp_path}",
        *more,
    ]


@pytest.mark.parametrize(
    ("errors", "never_began"),
    [
        ("srun: error: Unable to create step for job 7: Requested nodes are busy", True),
        ("srun: error: Unable to create step for job 7: Unable to contact slurm controller", True),
        ("srun: error: Task launch for StepId=7.0 failed on node node2: Communication connection failure", True),
        ("srun: error: Unable to create step for job 7: More processors requested than permitted", False),
        (
            "srun: error: Step requested gres_per_node=gpu:2 is more than the job's gres_per_node=gpu:1\n"
            "srun: error: Unable to create step for job 7: Invalid generic resource (gres) specification",
            False,
        ),
        (
            # It waited, and then its task failed.
            "srun: Job 7 step creation temporarily disabled, retrying (Requested nodes are busy)\n"
            "srun: Step created for job 7\nsrun: error: node1: task 0: Exited with exit code 2",
            False,
        ),
        ("srun: error: node1: task 0: Exited with exit code 1", False),
        ("srun: error: node[1-2]: tasks 0-3: Killed\nsrun: error: Socket timed out on send/recv operation", False),
        ("srun: error: node2: task 2: Killed\nsrun: Force Terminated StepId=18.0", False),
        ("", False),
    ],
)
def test_a_step_that_never_began_is_told_from_ranks_that_failed(errors: str, never_began: bool) -> None:
    assert could_not_start(errors) is never_began
