"""Everything that ends a job on a shared cluster, each done to one trial on a real SLURM: the trial goes on and ends.

Those that hit one job only run side by side in one cluster, since each mostly waits for the queue; the tests look at
what became of each. Those that hurt the cluster come one after the other.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from slurm.queue import JobState, Queue
from sweeps.trial import TrialRecord
from tests.slurm_cluster import SlurmCluster, wait_until
from tests.slurm_sweeps import SlurmSweep, assert_completed_once, assert_went_on, toy_sweep

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

STEPS = 80
TRAIN = [f"steps={STEPS}", "pause=0.1"]


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


# What is done to the job, the workers (a second one takes over where the first cannot come back), and its options.
SCENARIOS: dict[str, tuple[Callable[[SlurmSweep], None], int, dict[str, object]]] = {
    "requeue": (requeue, 1, {}),
    "warn_batch": (warn_the_batch_step, 1, {}),
    "warn_ranks": (warn_the_ranks, 1, {}),
    "cancel": (cancel, 2, {}),
    "kill_rank": (kill("-m sweeps.rank"), 1, {}),
    "kill_batch": (kill("-m sweeps.worker"), 2, {}),
    "time_limit": (nothing, 1, {"time": "00:01:00", "signal_seconds": 54}),
}


@pytest.fixture(scope="module")
def struck(module_cluster: SlurmCluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, SlurmSweep]:
    """One sweep of two trials a scenario; the job of the first trial is struck at its fifth step."""
    sweeps: dict[str, SlurmSweep] = {}
    for name, (_, workers, options) in SCENARIOS.items():
        folder = tmp_path_factory.mktemp("ends") / name
        sweeps[name] = toy_sweep(
            module_cluster,
            folder,
            workers=workers,
            trials=workers,
            train=TRAIN,
            options={"signal_seconds": 20, **options},
        )
        sweeps[name].submit()
    for name, sweep in sweeps.items():
        sweep.wait_for_step(5)
        SCENARIOS[name][0](sweep)
    return sweeps


def _ended(sweep: SlurmSweep) -> list[TrialRecord]:
    rows = sweep.wait_until_finished()
    assert_completed_once(rows, sweep.sweep.definition.trials)
    assert_went_on(sweep.steps(), STEPS)
    return [row for row in sweep.rows() if row.group == 0]


@pytest.mark.parametrize("name", ["requeue", "warn_batch", "time_limit"])
def test_a_requeued_job_takes_up_its_own_trial(struck: dict[str, SlurmSweep], name: str) -> None:
    """Covers: bare requeue, USR1 preemption, time limit. The same row, the same job, its last checkpoint, no retry."""
    sweep = struck[name]
    rows = _ended(sweep)
    assert [row.attempt for row in rows] == [0]
    assert len({step.job for step in sweep.steps()}) == 1
    assert sorted({step.restarts for step in sweep.steps()})[:2] == [0, 1]


def test_ranks_that_were_warned_alone_end_and_the_same_job_goes_on(struck: dict[str, SlurmSweep]) -> None:
    """Covers: USR1 to the step only, as `scancel --signal=USR1` sends it; an interruption, not a failure."""
    rows = _ended(struck["warn_ranks"])
    assert [row.attempt for row in rows] == [0]
    assert len({step.pid for step in struck["warn_ranks"].steps()}) >= 2


def test_a_cancelled_job_stays_cancelled_and_another_worker_retries_its_trial(struck: dict[str, SlurmSweep]) -> None:
    """Covers: scancel. The job is not requeued; its trial is failed and tried again by the worker that is left."""
    sweep = struck["cancel"]
    rows = _ended(sweep)
    assert [(row.state, row.retry_of) for row in rows] == [("failed", None), ("completed", rows[0].number)]
    jobs = list(dict.fromkeys(step.job for step in sweep.steps()))
    assert len(jobs) == 2
    assert {step.restarts for step in sweep.steps()} == {0}
    info = Queue().look([jobs[0]])[jobs[0]]
    assert info.state.over
    assert info.state is JobState.GONE or info.raw.startswith("CANCELLED")


def test_a_killed_rank_costs_one_retry_in_the_same_job(struck: dict[str, SlurmSweep]) -> None:
    """Covers: kill -9 of a rank."""
    rows = _ended(struck["kill_rank"])
    assert [(row.state, row.attempt) for row in rows] == [("failed", 0), ("completed", 1)]
    assert rows[0].reason
    assert len({step.job for step in struck["kill_rank"].steps()}) == 1


def test_the_trial_of_a_killed_batch_step_is_retried_by_another_worker(struck: dict[str, SlurmSweep]) -> None:
    """Covers: kill -9 of the batch step."""
    rows = _ended(struck["kill_batch"])
    assert [(row.state, row.attempt) for row in rows] == [("failed", 0), ("completed", 1)]
    assert len({step.job for step in struck["kill_batch"].steps()}) == 2


def test_a_preempted_job_saves_within_its_grace_and_goes_on(lab: SlurmCluster, tmp_path: Path) -> None:
    """Covers: preemption by a job in the partition `urgent`: its signal, SIGTERM, 20 s of grace, and a requeue."""
    sweep = toy_sweep(lab, tmp_path / "preempted", train=TRAIN)
    sweep.submit()
    sweep.wait_for_step(5)
    node = sweep.steps()[-1].node
    # Both nodes, or the job would move to the other one at once.
    lab.run("sbatch", "-p", "urgent", "-w", node, "-c4", "-o", "/dev/null", "--wrap", "sleep 1")
    rows = _ended(sweep)
    assert [row.attempt for row in rows] == [0]
    assert sorted({step.restarts for step in sweep.steps()}) == [0, 1]


def test_a_job_outlives_the_daemon_of_its_node(lab: SlurmCluster, tmp_path: Path) -> None:
    """Covers: kill -9 of slurmd, which comes back after some seconds; the trial never stops."""
    assert lab.lab is not None
    sweep = toy_sweep(lab, tmp_path / "slurmd", train=TRAIN, trials=2)
    sweep.submit()
    sweep.wait_for_step(5)
    lab.lab.end(sweep.steps()[-1].node)
    time.sleep(2)
    lab.lab.mend()
    rows = _ended(sweep)
    assert [row.attempt for row in rows] == [0]
    assert len({step.pid for step in sweep.steps()}) == 1


def test_a_restart_of_the_controller_between_two_trials_changes_nothing(lab: SlurmCluster, tmp_path: Path) -> None:
    """Covers: the controller is stopped while a trial runs, and is back when the next one starts."""
    assert lab.lab is not None
    sweep = toy_sweep(lab, tmp_path / "controller", train=["steps=150", "pause=0.1"], trials=2)
    sweep.submit()
    sweep.wait_for_step(5)
    lab.lab.end("slurmctld", signal.SIGTERM)
    time.sleep(1)
    lab.lab.mend()
    assert sweep.states()["completed"] == 0, "the restart took longer than the trial"
    assert_completed_once(sweep.wait_until_finished(), 2)
    assert [row.attempt for row in sweep.rows()] == [0, 0]
    assert len({step.pid for step in sweep.steps()}) == 1


@pytest.mark.long
@pytest.mark.timeout(600)
def test_workers_wait_while_the_controller_is_away(lab: SlurmCluster, tmp_path: Path) -> None:
    """Covers: the controller is away when the next trial is to start; srun itself then waits for one minute or two."""
    assert lab.lab is not None
    sweep = toy_sweep(lab, tmp_path / "away", train=["steps=30", "pause=0.1"], trials=3, workers=2)
    sweep.submit()
    sweep.wait_for_step(5)
    lab.lab.end("slurmctld", signal.SIGTERM)
    wait_until(lambda: sweep.states()["completed"] >= 2, seconds=30, what="trials end without the controller")
    time.sleep(2)
    lab.lab.mend()
    assert_completed_once(sweep.wait_until_finished(seconds=250), 3)
    assert [row.attempt for row in sweep.rows()] == [0, 0, 0]


def test_a_job_of_a_lost_node_goes_on_elsewhere_while_its_old_processes_are_fenced_off(
    lab: SlurmCluster, tmp_path: Path
) -> None:
    """Covers: node failure with the daemon gone, so that the old ranks live on beside those of the requeued job."""
    assert lab.lab is not None
    sweep = toy_sweep(lab, tmp_path / "lost", train=["steps=180", "pause=0.1"])
    sweep.submit()
    sweep.wait_for_step(5)
    before = sweep.steps()[-1]
    lab.lab.end(before.node)
    lab.run("scontrol", "update", f"nodename={before.node}", "state=down", "reason=test")
    wait_until(lambda: sweep.steps()[-1].restarts > 0, seconds=60, what=f"the job restarts: {sweep.logs()}")
    after = sweep.steps()[-1]
    assert after.node != before.node
    assert after.job == before.job
    rows = sweep.wait_until_finished()
    assert_completed_once(rows, 1)
    assert [row.attempt for row in rows] == [0]
    steps = sweep.steps()
    taken_over = next(index for index, step in enumerate(steps) if step.pid == after.pid)
    assert all(step.pid == after.pid for step in steps[taken_over + 1 :]), "the old ranks went on"
    assert_went_on(steps, 180)
