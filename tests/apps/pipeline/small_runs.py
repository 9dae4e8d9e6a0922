"""Planned trainings that nothing was composed for: composing all of them takes seconds."""

from omegaconf import OmegaConf

from apps.pipeline.plan import SHARES
from apps.pipeline.trainings import PlannedRun


def small_runs(**identities: object) -> dict[str, PlannedRun]:
    """One of each training; a value of `identities`, by its name, stands for all its settings."""
    config = OmegaConf.create({"module": {"model": {"source": "path:/nowhere"}}})
    return {
        name: PlannedRun(config, [], {"datamodule.share": [0, 1], "setting": identities.get(name)}) for name in SHARES
    }
