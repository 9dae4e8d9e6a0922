from __future__ import annotations

from typing import Any

import pytest

from apps.launcher import ranks, read_launcher, without_launcher
from nines.errors import ConfigError
from slurm.options import SlurmOptions

SLURM = {"_target_": "slurm.options.SlurmOptions"}


def test_a_launcher_without_a_class_is_this_machine() -> None:
    assert read_launcher({}) is None
    assert read_launcher(None) is None


def test_the_keys_of_the_group_become_the_options_of_the_cluster() -> None:
    options = read_launcher({**SLURM, "partition": "gpu", "setup": ["module load cuda"], "gpus_per_node": "a100:4"})
    assert options == SlurmOptions(partition="gpu", setup=("module load cuda",), gpus_per_node="a100:4")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({**SLURM, "partion": "gpu"}, "did you mean 'partition'"),
        ({**SLURM, "cpus_per_task": "many"}, r"launcher\.cpus_per_task = 'many': expected a whole number"),
        ({**SLURM, "time": "soon"}, r"launcher\.time"),
        ({**SLURM, "time": 0}, r"launcher\.time = 0: SLURM takes minutes, .*; quote it as text"),
        ({**SLURM, "time": -5}, r"launcher\.time = -5: SLURM takes minutes, .*; quote it as text"),
        ({**SLURM, "time": "0"}, r"launcher\.time = '0': must be longer than nothing; SLURM takes minutes"),
        ({"partition": "gpu"}, "choose launcher=slurm"),
        ({"_target_": "subprocess.run", "args": "ls"}, "the only launcher with options"),
    ],
)
def test_a_wrong_launcher_is_refused(content: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_launcher(content)


@pytest.mark.parametrize(
    ("trainer", "options", "expected"),
    [
        ({}, {}, (1, 1)),
        ({"devices": 2, "num_nodes": 3}, {}, (3, 2)),
        ({"devices": [0, 2]}, {}, (1, 2)),
        ({"devices": "0,1,3"}, {}, (1, 3)),
        ({"devices": "auto"}, {"gpus_per_node": "a100:8", "trials_per_job": 2}, (1, 4)),
        ({"devices": "auto", "accelerator": "cpu"}, {"gpus_per_node": 8}, (1, 1)),
        ({"devices": -1, "accelerator": "gpu"}, {"gpus_per_node": 4}, (1, 4)),
        ({"devices": 2, "num_nodes": 2}, {"nodes": 2, "tasks_per_node": 2}, (2, 2)),
    ],
)
def test_ranks_follow_the_trainer(trainer: dict[str, Any], options: dict[str, Any], expected: tuple[int, int]) -> None:
    assert ranks(trainer, SlurmOptions(**options)) == expected


@pytest.mark.parametrize(
    ("trainer", "options", "said"),
    [
        ({"devices": 1}, {"nodes": 2}, r"launcher\.nodes=2 contradicts trainer\.num_nodes=1"),
        ({"devices": 1}, {"tasks_per_node": 4}, "set trainer.devices=4"),
        ({"accelerator": "gpu", "devices": 2}, {"trials_per_job": 3}, "set launcher.gpus_per_node=6"),
        ({"devices": 4}, {"gpus_per_node": 4, "trials_per_job": 2}, "gives 2 for each of 2 trials"),
        ({"devices": "several"}, {}, "expected a number"),
    ],
)
def test_a_launcher_that_contradicts_the_trainer_says_what_to_set(
    trainer: dict[str, Any], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        ranks(trainer, SlurmOptions(**options))


def test_ranks_are_told_nothing_of_the_launcher() -> None:
    words = ["model=tiny", "launcher=slurm", "launcher.partition=gpu", "+launcher.x=1", "launchers=3"]
    assert without_launcher(words) == ["model=tiny", "launchers=3"]
