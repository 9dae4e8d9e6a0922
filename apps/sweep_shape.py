"""How many processes each trial of a sweep needs, which must be the same for all: its workers know one shape only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.config import compose
from apps.launcher import local_ranks, plain, ranks
from nines.errors import ConfigError

if TYPE_CHECKING:
    from slurm.options import SlurmOptions
    from sweeps.definition import SweepDefinition

# Keys of `train` on which the shape depends.
SHAPING = ("trainer", "trainer.devices", "trainer.num_nodes", "trainer.accelerator", "experiment")


def shape_of_trials(definition: SweepDefinition, options: SlurmOptions | None) -> tuple[int, int]:
    """Nodes of a trial, and ranks on each of them.

    Args:
        definition: The sweep.
        options: The options of the cluster, None for trials on this machine.

    Raises:
        ConfigError: Launcher and trainer contradict each other, or trials would need different shapes.
    """
    varied = [parameter.key for parameter in definition.space.parameters if parameter.key in SHAPING]
    settings = [definition.space.overrides(values) for values in definition.space.examples()] if varied else [[]]
    trainers = [plain(compose("train", [*definition.train, *values]).trainer) for values in settings]
    shapes = {(1, local_ranks(trainer)) if options is None else ranks(trainer, options) for trainer in trainers}
    if len(shapes) > 1:
        listed = ", ".join(f"{nodes} x {tasks}" for nodes, tasks in sorted(shapes))
        raise ConfigError(
            f"{', '.join(varied)}: the trials would need {listed} ranks (nodes x ranks a node), and all workers of a "
            "sweep are alike; sweep over each of these shapes by itself"
        )
    return shapes.pop()
