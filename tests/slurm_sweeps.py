"""Sweeps of small trainings on a SLURM cluster, as `nines sweep … launcher=slurm` submits them."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from slurm.options import SlurmOptions
from sweeps.launch_slurm import SlurmLauncher, Submission, WorkerPlan
from sweeps.records import results, slots_left
from sweeps.study import Sweep, create_study, open_study
from sweeps.trial import TrialRecord
from tests.slurm_cluster import SlurmCluster, wait_until
from tests.slurm_training import Save, Step, saves_of, steps_of
from tests.sweeps.conftest import definition

RUN_TRIAL = "tests.slurm_training:run_trial"
# At this step of a trial something happens to its job.
STRUCK_STEP = 5


@dataclasses.dataclass
class SlurmSweep:
    """A sweep on a cluster.

    Attributes:
        cluster: Where it runs.
        sweep: The sweep.
        plan: How its workers run.
        job: Id of the newest array.
    """

    cluster: SlurmCluster
    sweep: Sweep
    plan: WorkerPlan
    job: str = ""

    def submit(self) -> Submission:
        """Submit the workers that are missing."""
        submission = SlurmLauncher(self.sweep, self.plan).submit(slots_left(self.rows(), self.sweep.definition))
        if submission.record is not None:
            self.job = submission.record.id
        return submission

    def rows(self) -> list[TrialRecord]:
        """All rows of the study, read anew."""
        return open_study(self.sweep.folder).trials()

    def states(self) -> Counter[str]:
        """How many rows that stand for a result are in which state."""
        return Counter(row.state for row in results(self.rows()))

    def steps(self, number: int = 0) -> list[Step]:
        """What trial `number` has done so far."""
        return steps_of(self.sweep.folder / "trials" / f"{number:04d}")

    def saves(self, number: int = 0) -> list[Save]:
        """The checkpoints that trial `number` has written so far."""
        return saves_of(self.sweep.folder / "trials" / f"{number:04d}")

    def wait_for_step(self, step: int, number: int = 0) -> None:
        """Wait until trial `number` has done so many steps."""
        wait_until(
            lambda: max((done.step for done in self.steps(number)), default=0) >= step,
            what=f"step {step} of trial {number} in {self.sweep.folder}: {self.logs()}",
        )

    def wait_until_finished(self, *, seconds: float = 120.0) -> list[TrialRecord]:
        """Wait until nothing is left to do; the rows that stand for a result."""

        def finished() -> bool:
            rows = results(self.rows())
            return len(rows) == self.sweep.definition.trials and all(row.finished for row in rows)

        try:
            wait_until(finished, seconds=seconds, what=f"the end of {self.sweep.folder}")
        except AssertionError as error:
            raise AssertionError(f"{error}: {dict(self.states())}\n{self.logs()}") from None
        return results(self.rows())

    def task(self, index: int = 0) -> str:
        """What SLURM calls a task of the newest array."""
        return f"{self.job}_{index}"

    def holder(self) -> str:
        """The job that made the newest step of trial 0."""
        return self.steps()[-1].job

    def logs(self) -> str:
        """What the workers wrote, for messages of failed tests."""
        logs = sorted((self.sweep.folder / "workers").glob("*.log"))
        return "\n".join(f"{log.name}: {log.read_text(encoding='utf-8', errors='replace')[-1500:]}" for log in logs)


def toy_sweep(cluster: SlurmCluster, folder: Path, *, workers: int = 1, **changes: Any) -> SlurmSweep:
    """A sweep of `tests.slurm_training`, not yet submitted.

    Args:
        cluster: Where it will run.
        folder: Folder of the sweep.
        workers: Trials at the same time.
        changes: Of the definition; `options` (a mapping) of the launcher's.
    """
    options = {"time": "00:30:00", "cpus_per_task": 1, "signal_seconds": 30, **changes.pop("options", {})}
    fields = {"trials": 1, "retries": 2, "train": ["steps=40", "pause=0.1"], **changes}
    sweep = create_study(folder, definition(name=folder.name, **fields))
    plan = WorkerPlan(options=SlurmOptions(**options), run_trial=RUN_TRIAL, workers=workers, threads=1)
    return SlurmSweep(cluster, sweep, plan)


def assert_went_on(steps: list[Step], total: int) -> None:
    """Every step was done, each attempt went on where the one before stood, and at most one step of each came twice.

    The step during which a process is killed may be done without having been saved.
    """
    assert {step.step for step in steps} == set(range(1, total + 1))
    for before, after in itertools.pairwise(steps):
        if before.pid == after.pid and before.restarts == after.restarts:
            assert after.step == before.step + 1
        else:
            assert after.step in (before.step, before.step + 1)


def assert_went_on_from_signals(sweep: SlurmSweep, total: int, cause: str) -> None:
    """Trial 0 wrote checkpoints for signals alone, and each further attempt went on at the step after the last of them.

    Args:
        sweep: Whose trials have `save` above `total`.
        total: Steps of a trial.
        cause: The signal that asked for the first checkpoint.
    """
    steps, saves = sweep.steps(), sweep.saves()
    assert {step.step for step in steps} == set(range(1, total + 1))
    attempts = [list(group) for _, group in itertools.groupby(steps, key=lambda step: (step.pid, step.restarts))]
    assert len(attempts) > 1, "the trial was never interrupted"
    assert saves, "no signal led to a checkpoint"
    assert saves[0].cause == cause
    assert saves[0].step >= STRUCK_STEP
    assert "" not in {save.cause for save in saves}
    for before, after in itertools.pairwise(attempts):
        last = [save for save in saves if (save.pid, save.restarts) == (before[0].pid, before[0].restarts)][-1]
        assert after[0].step == last.step + 1
    for attempt in attempts:
        assert [step.step for step in attempt] == list(range(attempt[0].step, attempt[-1].step + 1))


def assert_completed_once(rows: list[TrialRecord], trials: int) -> None:
    """Each set of parameters has one row that stands for it, and that one is complete and right."""
    assert sorted(row.group for row in rows) == list(range(trials))
    assert [row.state for row in rows] == ["completed"] * trials, [row.reason for row in rows]
    for row in rows:
        assert row.value == pytest.approx(1 - (row.params["x"] - 0.3) ** 2)  # type: ignore[operator]
