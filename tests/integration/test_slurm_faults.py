"""What breaks in a cluster itself, done to a private one: daemons die, a node is lost; the trials go on and end."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.slurm_cluster import SlurmCluster, wait_until
from tests.slurm_sweeps import assert_completed_once, assert_went_on, toy_sweep

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_a_job_outlives_the_daemon_of_its_node(lab: SlurmCluster, tmp_path: Path) -> None:
    """Covers: kill -9 of slurmd, which comes back after some seconds; the trial never stops."""
    assert lab.lab is not None
    sweep = toy_sweep(lab, tmp_path / "slurmd", train=["steps=80", "pause=0.1"], trials=2)
    sweep.submit()
    sweep.wait_for_step(5)
    lab.lab.end(sweep.steps()[-1].node)
    time.sleep(2)
    lab.lab.mend()
    rows = sweep.wait_until_finished()
    assert_completed_once(rows, 2)
    assert_went_on(sweep.steps(), 80)
    assert [row.attempt for row in rows] == [0, 0]
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
