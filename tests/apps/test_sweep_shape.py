from __future__ import annotations

from typing import Any

import pytest

from apps.launcher import local_ranks
from apps.sweep_shape import shape_of_trials
from nines.errors import ConfigError
from slurm.options import SlurmOptions
from tests.sweeps.conftest import definition


def test_the_trainer_of_all_trials_decides() -> None:
    sweep = definition(train=["trainer=ddp", "trainer.devices=2"], space={"seed": "range(0, 3)"})
    assert shape_of_trials(sweep, SlurmOptions()) == (1, 2)
    assert shape_of_trials(sweep, None) == (1, 2)


def test_trials_of_different_shapes_are_refused() -> None:
    sweep = definition(space={"trainer.devices": "choice(1, 2)"})
    with pytest.raises(ConfigError, match=r"trainer\.devices: the trials would need 1 x 1, 1 x 2 ranks"):
        shape_of_trials(sweep, SlurmOptions())


def test_a_trainer_that_is_searched_may_keep_its_shape() -> None:
    sweep = definition(space={"trainer": "choice(cpu, auto)"})
    assert shape_of_trials(sweep, SlurmOptions()) == (1, 1)


def test_several_machines_need_the_cluster() -> None:
    trainer: dict[str, Any] = {"num_nodes": 2, "devices": 1}
    with pytest.raises(ConfigError, match=r"trainer\.num_nodes=2 needs several machines; choose launcher=slurm"):
        local_ranks(trainer)
