from typing import Any

import pytest

from apps.signatures import call_problems
from nines.errors import ConfigError
from slurm.options import SlurmOptions


def test_lists_become_tuples() -> None:
    options = SlurmOptions(setup=["module load cuda"], extra=["--reservation=night"])  # type: ignore[arg-type]
    assert options.setup == ("module load cuda",)
    assert options == SlurmOptions(setup=("module load cuda",), extra=("--reservation=night",))


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"partition": "gpu\n#SBATCH --uid=0"}, "line breaks"),
        ({"setup": ["true\nrm -rf ~"]}, "line breaks"),
        ({"extra": ["--reservation=a\n#SBATCH --uid=0"]}, "line breaks"),
        ({"srun_options": ["--x=\x1b[0m"]}, "control characters"),
        ({"container": "a\rb", "container_runtime": "pyxis"}, "line breaks"),
        ({"account": " "}, "is empty"),
        ({"time": "tomorrow"}, "no span of time"),
        ({"time": "0:30"}, "told to save at once"),
        ({"signal_seconds": 0}, "1 to 65535"),
        ({"signal_seconds": 70000, "time": "7-0"}, "1 to 65535"),
        ({"memory": "64 GB"}, "such as 64G"),
        ({"memory": "0G"}, "such as 64G"),
        ({"gpus_per_node": "a100:many"}, "such as a100:4"),
        ({"gpus_per_node": 4, "trials_per_job": 3}, "cannot share 4 GPUs evenly"),
        ({"nodes": 0}, "must be at least 1"),
        ({"trials_per_job": 0, "gpus_per_node": 4}, "must be at least 1"),
        ({"max_running": -1}, "must be at least 1"),
        ({"container": "nines.sif"}, "needs launcher.container_runtime"),
        ({"container_runtime": "pyxis"}, "needs launcher.container"),
        ({"mail_type": "END"}, "needs launcher.mail_user"),
        ({"mail_type": "ENDD", "mail_user": "a@b.c"}, "did you mean 'END'"),
        ({"extra": ["reservation=x"]}, "write --name or --name=value"),
        ({"extra": ["--partition=gpu"]}, "has a key of its own, launcher.partition"),
        ({"extra": ["--array=0-9"]}, "is set by the launcher"),
        ({"srun_options": ["mpi=pmix"]}, "is no option"),
        ({"extra": "--reservation=x"}, "expected a list"),
    ],
)
def test_what_slurm_would_refuse_or_misread_is_refused(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        SlurmOptions(**values)
    assert "launcher." in str(caught.value)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        SlurmOptions(nodes=0, time="soon", memory="much")
    lines = str(caught.value).splitlines()
    assert lines[0] == "3 problems with the launcher:"
    assert [line.split()[0] for line in lines[1:]] == ["launcher.nodes", "launcher.time:", "launcher.memory:"]


def test_an_unknown_key_lists_the_valid_ones() -> None:
    (problem,) = call_problems(SlurmOptions, {"partion": "gpu"}, where="launcher", name="slurm.options.SlurmOptions")
    assert "did you mean 'partition'" in problem
    assert "trials_per_job" in problem


def test_a_value_of_another_type_is_told_in_words() -> None:
    (problem,) = call_problems(SlurmOptions, {"time": 86400}, where="launcher", name="x")
    assert problem == "launcher.time = 86400: expected text"


@pytest.mark.parametrize(
    ("gpus", "trials", "share"),
    [(4, 1, "4"), (4, 2, "2"), ("a100:4", 4, "a100:1"), ("4", 2, "2"), (None, 2, None), (0, 2, None)],
)
def test_trials_share_the_gpus_of_a_job(gpus: int | str | None, trials: int, share: str | None) -> None:
    assert SlurmOptions(gpus_per_node=gpus, trials_per_job=trials).gpus_of_trial() == share


def test_trials_share_the_memory_of_a_job() -> None:
    assert SlurmOptions(memory="64G").memory_of_trial() == "64G"
    assert SlurmOptions(memory="64G", trials_per_job=3).memory_of_trial() == f"{64 * 1024 * 1024 // 3}K"
    # SLURM reads a number without a unit as MiB.
    assert SlurmOptions(memory="1000", trials_per_job=2).memory_of_trial() == "512000K"
    assert SlurmOptions(trials_per_job=2).memory_of_trial() is None


def test_ranks_in_a_container_use_its_interpreter() -> None:
    outside = SlurmOptions(python="/env/bin/python")
    inside = SlurmOptions(python="/env/bin/python", container="nines.sif", container_runtime="apptainer")
    assert (outside.job_python, outside.rank_python) == ("/env/bin/python", "/env/bin/python")
    assert (inside.job_python, inside.rank_python) == ("/env/bin/python", "python3")
