"""The folder that holds everything of one run: its layout, its name, and the status file that others watch.

Layout: `config.yaml`, `overrides.yaml`, `checkpoints/{last,best}.ckpt`, `tensorboard/`, `metrics.json`,
`threshold.json`, `status.json`, `environment.json`, `owner.json`, `log.txt`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from nines.checkpoint_folder import clear_unpublished
from nines.files import read_json, write_json
from nines.run_owner import OWNER_FILE, ensure_owned

State = Literal["starting", "running", "completed", "pruned", "interrupted", "failed"]


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """Paths inside one run folder. Nothing is created by constructing it."""

    path: Path

    @property
    def config(self) -> Path:
        """The composed configuration of the run."""
        return self.path / "config.yaml"

    @property
    def overrides(self) -> Path:
        """The list of overrides that the run was started with."""
        return self.path / "overrides.yaml"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def last(self) -> Path:
        """The newest whole checkpoint: what a resumed run starts from."""
        return self.checkpoints / "last.ckpt"

    @property
    def best(self) -> Path:
        """The checkpoint with the best objective on validation data."""
        return self.checkpoints / "best.ckpt"

    @property
    def tensorboard(self) -> Path:
        """The folder of TensorBoard event files."""
        return self.path / "tensorboard"

    @property
    def metrics(self) -> Path:
        """Final figures with their intervals."""
        return self.path / "metrics.json"

    @property
    def threshold(self) -> Path:
        """The threshold fixed on validation data, and how it was chosen."""
        return self.path / "threshold.json"

    @property
    def status(self) -> Path:
        """State, step and ETA of the run, see `RunStatus`."""
        return self.path / "status.json"

    @property
    def environment(self) -> Path:
        """Commit, versions and seed."""
        return self.path / "environment.json"

    @property
    def owner(self) -> Path:
        """The token of the processes that may write here, see `nines.run_owner`."""
        return self.path / OWNER_FILE

    @property
    def log(self) -> Path:
        """Standard output and error of a run that a sweep started."""
        return self.path / "log.txt"

    def clear_leftovers(self) -> None:
        """Remove the temporary files of a process that was killed while writing. Only for who holds the folder.

        Raises:
            Superseded: The folder was taken over by other processes, which may be writing them just now.
        """
        ensure_owned(self.path)
        for leftover in self.path.rglob(".*.tmp"):
            leftover.unlink(missing_ok=True)
        clear_unpublished(self.checkpoints)


@dataclasses.dataclass(frozen=True)
class RunStatus:
    """What a run says of itself while it runs; rewritten as a whole at most a few times a second.

    Attributes:
        state: Where the run is in its life.
        step: Optimizer steps done.
        total_steps: Optimizer steps planned, None while unknown.
        epoch: Epochs done, in fractions.
        objective: The newest value of the objective on validation data, None before the first validation.
        best_objective: The best value so far.
        seconds_left: Estimated seconds until the end, None while unknown.
        message: One line for a person: why it failed, was pruned or interrupted.
        host: Machine that runs it.
        pid: Process that runs it.
        job_id: Job of the scheduler, None without one.
        restarts: How often the scheduler has requeued that job.
        ranks: Processes that train together, of which this is the first.
        updated: Seconds since the epoch of the last write.
    """

    state: State
    step: int = 0
    total_steps: int | None = None
    epoch: float = 0.0
    objective: float | None = None
    best_objective: float | None = None
    seconds_left: float | None = None
    message: str = ""
    host: str = dataclasses.field(default_factory=socket.gethostname)
    pid: int = dataclasses.field(default_factory=os.getpid)
    job_id: str | None = dataclasses.field(default_factory=lambda: os.environ.get("SLURM_JOB_ID"))
    restarts: int = dataclasses.field(default_factory=lambda: int(os.environ.get("SLURM_RESTART_COUNT") or 0))
    ranks: int = 1
    updated: float = dataclasses.field(default_factory=time.time)

    def continued(self, **changes: Any) -> RunStatus:
        """The same status with `changes`, as this process would write it now."""
        own = RunStatus(self.state)
        mine = {name: getattr(own, name) for name in ("host", "pid", "job_id", "restarts", "updated")}
        return dataclasses.replace(self, **{**mine, **changes})

    def write(self, folder: RunFolder) -> None:
        """Write this status into `folder`, as a whole.

        Raises:
            Superseded: The folder was taken over by other processes.
        """
        ensure_owned(folder.path)
        write_json(folder.status, dataclasses.asdict(self))

    @classmethod
    def read(cls, folder: RunFolder) -> RunStatus | None:
        """The status in `folder`, None when the run has not written one."""
        if not folder.status.exists():
            return None
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{key: value for key, value in read_json(folder.status).items() if key in known})


def run_name(name: str, differences: Mapping[str, Any]) -> str:
    """The folder name of a run: a readable name and a hash of what differs from the default configuration.

    Args:
        name: Readable part.
        differences: Config keys in dotted form to values, only those that differ from the defaults.
    """
    canonical = json.dumps(differences, sort_keys=True, default=str)
    return f"{name}-{hashlib.sha256(canonical.encode()).hexdigest()[:8]}"
