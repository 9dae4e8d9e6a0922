"""One trial of a sweep: the job that a process runs, and the record that status and report read."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

from nines.files import read_json, write_json
from sweeps.claims import Claim

State: TypeAlias = Literal["waiting", "running", "completed", "pruned", "failed", "interrupted"]
ParameterValue: TypeAlias = str | int | float | bool | None

FINISHED: frozenset[str] = frozenset({"completed", "pruned", "failed"})


@dataclasses.dataclass(frozen=True)
class TrialJob:
    """What a trial's process is told; it is all that the training code needs to know of the sweep.

    Attributes:
        folder: The run folder. A retried or interrupted trial finds its last checkpoint there.
        overrides: Overrides of the `train` configuration, complete: base, parameters, seed, objective.
        storage: Absolute URL of the study's storage, see `sweeps.storage`.
        study: Name of the study.
        trial_id: Identifier of the trial in the storage, for `sweeps.reporting.TrialReporter`.
        number: Number of the trial in the study, for people.
        objectives: Metric names that `metrics.json` must hold at the end.
        claim: In whose name it was taken. Taking the same trial again gives an equal job under another claim.
    """

    folder: Path
    overrides: tuple[str, ...]
    storage: str
    study: str
    trial_id: int
    number: int
    objectives: tuple[str, ...]
    claim: Claim | None = dataclasses.field(default=None, compare=False)

    @property
    def file(self) -> Path:
        """Where `write` puts it."""
        return self.folder / "job.json"

    @property
    def token(self) -> str:
        """What the trial's processes show to write in the folder, see `nines.run_owner`; empty: nothing is asked."""
        return self.claim.token if self.claim is not None else ""

    def write(self) -> None:
        """Put the job into its folder, for processes that are not forked from the one that took it."""
        write_json(self.file, {**dataclasses.asdict(self), "folder": str(self.folder)})

    @classmethod
    def read(cls, path: Path) -> TrialJob:
        """The job that `write` put there."""
        content: dict[str, Any] = read_json(path)
        content["folder"] = Path(content["folder"])
        content["claim"] = Claim.read(content["claim"]) if content["claim"] is not None else None
        for key in ("overrides", "objectives"):
            content[key] = tuple(content[key])
        return cls(**content)


@dataclasses.dataclass(frozen=True)
class TrialRecord:
    """One row of the study, read-only.

    Attributes:
        number: Number of the row in the study, from 0.
        state: `interrupted` is a trial that no live process holds and that the next worker continues.
        params: Config key or group to the sampled value; only the parameters that exist in this trial.
        values: Final objectives, in the order of the definition. A pruned trial holds its last intermediate value.
        intermediate_values: Step to the first objective as reported on validation data.
        metrics: Final figures of `metrics.json`, by name; empty unless completed.
        group: Number of the set of parameters, from 0; rows of one group differ only in seed and attempt.
        seed: Repeat of the set, which is also the training seed, from 0.
        attempt: 0 for the first row of this group and seed, 1 for its first retry, and so on.
        retry_of: Number of the row that this one retries.
        superseded: A later row retries this one, so it is history and not a result.
        folder: Run folder, shared by all attempts.
        started: Local time when a worker took it.
        completed: Local time when it finished.
        reason: One line: why it failed, was pruned or interrupted.
        log_tail: Last lines of its log, kept when it failed.
        host: Machine that runs or ran it.
        spent: Seconds of training until it ended, without the pauses of an interrupted trial; None where not measured.
    """

    number: int
    state: State
    params: dict[str, ParameterValue]
    values: tuple[float, ...] | None
    intermediate_values: dict[int, float]
    metrics: dict[str, float]
    group: int
    seed: int
    attempt: int
    retry_of: int | None
    superseded: bool
    folder: Path
    started: datetime | None
    completed: datetime | None
    reason: str
    log_tail: tuple[str, ...]
    host: str
    spent: float | None = None

    @property
    def value(self) -> float | None:
        """The first objective, None before the end."""
        return self.values[0] if self.values else None

    @property
    def finished(self) -> bool:
        """Nothing more will happen to this row."""
        return self.state in FINISHED

    @property
    def seconds(self) -> float | None:
        """Seconds that it took, None before its end."""
        if self.finished and self.spent is not None:
            return self.spent
        if self.started is None or self.completed is None:
            return None
        return (self.completed - self.started).total_seconds()
