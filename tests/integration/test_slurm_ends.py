"""Everything that ends a job on a shared cluster, each done to one trial on a real SLURM: the trial goes on and ends.

Those that hit one job only run side by side in one cluster, since each mostly waits for the queue; the tests look at
what became of each. Preemption needs a cluster of its own.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from slurm.queue import JobState, Queue
from sweeps.trial import TrialRecord
from tests.slurm_cluster import SlurmCluster, wait_until
from tests.slurm_sweeps import (
    STRUCK_STEP,
    SlurmSweep,
    assert_completed_once,
    assert_went_on,
    assert_went_on_from_signals,
    toy_sweep,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

STEPS = 80
# Saves when a signal asks for it, and at no other time: who goes on after a signal went on from what it saved for it.
TRAIN = [f"steps={STEPS}", "pause=0.1", "save=1000000"]
TRAIN_SAVING_EACH_STEP = TRAIN[:2]


def requeue(sweep: SlurmSweep) -> None:
    sweep.cluster.run("scontrol", "requeue", sweep.holder())


def warn_the_batch_step(sweep: SlurmSweep) -> None:
    sweep.cluster.run("scancel", "--signal=USR1", "--batch", sweep.holder())


def warn_the_ranks(sweep: SlurmSweep) -> None:
    sweep.cluster.run("scancel", "--signal=USR1", sweep.holder())


def cancel(sweep: SlurmSweep) -> None:
    sweep.cluster.run("scancel", sweep.holder())


def kill(words: str) -> Callable[[SlurmSweep], None]:
    def strike(sweep: SlurmSweep) -> None:
        os.kill(sweep.cluster.processes(words, job=sweep.holder())[0], signal.SIGKILL)

    return strike


def nothing(sweep: SlurmSweep) -> None:
    """The time limit comes by itself."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What is done to the job of trial 0.

    Attributes:
        strike: Does it.
        cause: The signal for which the trial saves; "" where none can reach it, so that it saves each step.
        workers: A second one takes over where the first cannot come back.
        options: Of the launcher.
    """

    strike: Callable[[SlurmSweep], None]
    cause: str
    workers: int = 1
    options: Mapping[str, object] = field(default_factory=dict)


SCENARIOS = {
    "requeue": Scenario(strike=requeue, cause="SIGTERM"),
    "warn_batch": Scenario(strike=warn_the_batch_step, cause="SIGUSR1"),
    "warn_ranks": Scenario(strike=warn_the_ranks, cause="SIGUSR1"),
    "cancel": Scenario(strike=cancel, cause="SIGTERM", workers=2),
    "kill_rank": Scenario(strike=kill("-m sweeps.rank"), cause=""),
    "kill_batch": Scenario(strike=kill("-m sweeps.worker"), cause="SIGTERM", workers=2),
    "time_limit": Scenario(strike=nothing, cause="SIGUSR1", options={"time": "00:01:00", "signal_seconds": 54}),
}


@pytest.fixture(scope="module")
def struck(module_cluster: SlurmCluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, SlurmSweep]:
    """One sweep of two trials a scenario; the job of the first trial is struck at its fifth step."""
    sweeps: dict[str, SlurmSweep] = {}
    for name, scenario in SCENARIOS.items():
        folder = tmp_path_factory.mktemp("ends") / name
        sweeps[name] = toy_sweep(
            module_cluster,
            folder,
            workers=scenario.workers,
            trials=scenario.workers,
            train=TRAIN if scenario.cause else TRAIN_SAVING_EACH_STEP,
            options={"signal_seconds": 20, **scenario.options},
        )
        sweeps[name].submit()
    for name, sweep in sweeps.items():
        sweep.wait_for_step(STRUCK_STEP)
        SCENARIOS[name].strike(sweep)
    return sweeps


def _ended(sweep: SlurmSweep, cause: str, *, steps: int = STEPS) -> list[TrialRecord]:
    rows = sweep.wait_until_finished()
    assert_completed_once(rows, sweep.sweep.definition.trials)
    if cause:
        assert_went_on_from_signals(sweep, steps, cause)
    else:
        assert_went_on(sweep.steps(), steps)
    return [row for row in sweep.rows() if row.group == 0]


@pytest.mark.parametrize("name", ["requeue", "warn_batch", "time_limit"])
def test_a_requeued_job_takes_up_its_own_trial(struck: dict[str, SlurmSweep], name: str) -> None:
    """Covers: bare requeue, USR1 preemption, time limit. The same row, the same job, its last checkpoint, no retry."""
    sweep = struck[name]
    rows = _ended(sweep, SCENARIOS[name].cause)
    assert [row.attempt for row in rows] == [0]
    assert len({step.job for step in sweep.steps()}) == 1
    assert sorted({step.restarts for step in sweep.steps()})[:2] == [0, 1]


def test_ranks_that_were_warned_alone_end_and_the_same_job_goes_on(struck: dict[str, SlurmSweep]) -> None:
    """Covers: USR1 to the step only, as `scancel --signal=USR1` sends it; an interruption, not a failure."""
    rows = _ended(struck["warn_ranks"], SCENARIOS["warn_ranks"].cause)
    assert [row.attempt for row in rows] == [0]
    assert len({step.pid for step in struck["warn_ranks"].steps()}) >= 2


def test_a_cancelled_job_stays_cancelled_and_another_worker_retries_its_trial(struck: dict[str, SlurmSweep]) -> None:
    """Covers: scancel. The job is not requeued; its trial is failed and tried again by the worker that is left."""
    sweep = struck["cancel"]
    rows = _ended(sweep, SCENARIOS["cancel"].cause)
    assert [(row.state, row.retry_of) for row in rows] == [("failed", None), ("completed", rows[0].number)]
    jobs = list(dict.fromkeys(step.job for step in sweep.steps()))
    assert len(jobs) == 2
    assert {step.restarts for step in sweep.steps()} == {0}
    info = Queue().look([jobs[0]])[jobs[0]]
    assert info.state.over
    assert info.state is JobState.GONE or info.raw.startswith("CANCELLED")


def test_a_killed_rank_costs_one_retry_in_the_same_job(struck: dict[str, SlurmSweep]) -> None:
    """Covers: kill -9 of a rank."""
    rows = _ended(struck["kill_rank"], SCENARIOS["kill_rank"].cause)
    assert [(row.state, row.attempt) for row in rows] == [("failed", 0), ("completed", 1)]
    assert rows[0].reason
    assert len({step.job for step in struck["kill_rank"].steps()}) == 1


def test_the_trial_of_a_killed_batch_step_is_retried_by_another_worker(struck: dict[str, SlurmSweep]) -> None:
    """Covers: kill -9 of the batch step."""
    rows = _ended(struck["kill_batch"], SCENARIOS["kill_batch"].cause)
    assert [(row.state, row.attempt) for row in rows] == [("failed", 0), ("completed", 1)]
    assert len({step.job for step in struck["kill_batch"].steps()}) == 2


def _preempt(sweep: SlurmSweep) -> None:
    node = sweep.steps()[-1].node
    sweep.cluster.run("sbatch", "-p", "urgent", "-w", node, "-c4", "-o", "/dev/null", "--wrap", "sleep 1")


def test_a_preempted_job_saves_within_its_grace_and_goes_on(lab: SlurmCluster, tmp_path: Path) -> None:
    """Covers: preemption by a job in the partition `urgent`: its signal, SIGTERM, 20 s of grace, and a requeue."""
    sweep = toy_sweep(lab, tmp_path / "preempted", train=TRAIN)
    sweep.submit()
    sweep.wait_for_step(STRUCK_STEP)
    _preempt(sweep)
    rows = _ended(sweep, "SIGUSR1")
    assert [row.attempt for row in rows] == [0]
    assert sorted({step.restarts for step in sweep.steps()}) == [0, 1]


@pytest.mark.long
def test_a_job_that_is_preempted_without_notice_saves_at_sigterm_and_goes_on(lab: SlurmCluster, tmp_path: Path) -> None:
    """Covers: preemption on a cluster without preempt_send_user_signal: SIGTERM at once, and again before SIGKILL."""
    with _no_notice_of_preemption(lab):
        sweep = toy_sweep(lab, tmp_path / "unannounced", train=["steps=500", *TRAIN[1:]])
        sweep.submit()
        sweep.wait_for_step(STRUCK_STEP)
        struck_at = sweep.steps()[-1].step
        _preempt(sweep)
        wait_until(lambda: bool(sweep.saves()), seconds=15, what=f"a checkpoint: {sweep.logs()}")
        assert sweep.saves()[0].step < struck_at + 100, "it waited for the end of its grace"
        rows = _ended(sweep, "SIGTERM", steps=500)
    assert {save.cause for save in sweep.saves()} == {"SIGTERM"}
    assert [row.attempt for row in rows] == [0]
    assert sorted({step.restarts for step in sweep.steps()}) == [0, 1]


@contextmanager
def _no_notice_of_preemption(cluster: SlurmCluster) -> Iterator[None]:
    assert cluster.lab is not None
    configuration = cluster.lab.configuration
    before = configuration.read_text(encoding="utf-8")
    silent, lines = re.subn(r"^SlurmctldParameters=preempt_send_user_signal$", "", before, flags=re.MULTILINE)
    assert lines == 1
    try:
        configuration.write_text(silent, encoding="utf-8")
        cluster.run("scontrol", "reconfigure")
        yield
    finally:
        configuration.write_text(before, encoding="utf-8")
        cluster.run("scontrol", "reconfigure")
