"""What the batch step of a job is told of it: written where it is submitted, read by a worker or by the supervisor."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nines.files import read_json
from slurm.options import SlurmOptions
from slurm.step import StepResources


@dataclass(frozen=True, kw_only=True)
class SlurmSettings:
    """How a batch step runs its ranks.

    Attributes:
        resources: What the ranks of one run or trial get of the job.
        rank_python: The interpreter of the ranks, inside the container where there is one.
        signal_seconds: How long before the end of the job its ranks are asked to save.
        requeue: Whether the job goes back into the queue when its time is over and work is left.
    """

    resources: StepResources
    rank_python: str
    signal_seconds: int
    requeue: bool

    @classmethod
    def of(cls, options: SlurmOptions, *, nodes: int, tasks_per_node: int) -> SlurmSettings:
        """The settings for trials of `nodes` times `tasks_per_node` ranks in jobs with `options`."""
        return cls(
            resources=StepResources.of_trial(options, nodes=nodes, tasks_per_node=tasks_per_node),
            rank_python=options.rank_python,
            signal_seconds=options.signal_seconds,
            requeue=options.requeue,
        )

    @classmethod
    def read(cls, path: Path) -> SlurmSettings:
        """The settings in the file that `as_mapping` went into."""
        content: dict[str, Any] = read_json(path)
        return cls(**{**content, "resources": StepResources.from_mapping(content["resources"])})

    def as_mapping(self) -> Mapping[str, Any]:
        """Plain values, for a JSON file."""
        return {
            "resources": self.resources.as_mapping(),
            "rank_python": self.rank_python,
            "signal_seconds": self.signal_seconds,
            "requeue": self.requeue,
        }

    @property
    def file_name(self) -> str:
        """A name by content: a requeued job of an earlier submission must find what it was started with."""
        text = json.dumps(self.as_mapping(), sort_keys=True)
        return f"settings-{hashlib.sha256(text.encode()).hexdigest()[:8]}.json"
