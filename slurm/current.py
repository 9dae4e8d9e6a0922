"""The job that this process runs in, from the variables that SLURM sets."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slurm.queue import Queue


@dataclass(frozen=True)
class CurrentJob:
    """The job of this process.

    Attributes:
        id: What to ask the scheduler for: `123`, or `123_4` for a task of an array. The raw id of a task will not do:
            the task that starts last has the array's own id, so that asking for it means the whole array.
        raw_id: SLURM_JOB_ID.
        array_id: Id of the array, None outside one.
        array_task: Number of the task in its array, None outside one.
        restarts: How often the job was requeued.
        nodes: Number of its nodes.
        end: When its time limit comes, in seconds since the epoch; None when that is unknown or never.
        cluster: Name of the cluster, "" when SLURM does not say.
    """

    id: str
    raw_id: str
    array_id: str | None = None
    array_task: int | None = None
    restarts: int = 0
    nodes: int = 1
    end: float | None = None
    cluster: str = ""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> CurrentJob | None:
        """The job that `environ` (default: the process's own variables) tells of, None outside any."""
        variables = os.environ if environ is None else environ
        raw_id = variables.get("SLURM_JOB_ID")
        if not raw_id:
            return None
        array_id = variables.get("SLURM_ARRAY_JOB_ID") or None
        task = variables.get("SLURM_ARRAY_TASK_ID") or None
        in_array = array_id is not None and task is not None
        # SLURM 22.05 does not say when the job ends, 23.02 does; `with_end` asks.
        end = variables.get("SLURM_JOB_END_TIME")
        return cls(
            id=f"{array_id}_{task}" if in_array else raw_id,
            raw_id=raw_id,
            array_id=array_id,
            array_task=int(task) if task is not None else None,
            restarts=int(variables.get("SLURM_RESTART_COUNT") or 0),
            nodes=int(variables.get("SLURM_JOB_NUM_NODES") or 1),
            end=float(end) if end else None,
            cluster=variables.get("SLURM_CLUSTER_NAME", ""),
        )

    def with_end(self, queue: Queue, *, now: float | None = None) -> CurrentJob:
        """The job with the `end` that the scheduler tells, which an administrator may have moved.

        `end` stays as it is when the scheduler cannot be asked.
        """
        left = queue.look([self.id])[self.id].seconds_left
        return self if left is None else replace(self, end=(time.time() if now is None else now) + left)

    def seconds_left(self, now: float | None = None) -> float | None:
        """Seconds until the time limit, None when it is unknown or never comes."""
        return None if self.end is None else self.end - (time.time() if now is None else now)
