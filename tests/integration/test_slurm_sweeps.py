"""Sweeps on a real SLURM that nobody disturbs: an array over two nodes, two sweeps at once, packing, cancelling."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from slurm.queue import Queue
from tests.slurm_cluster import SlurmCluster, nines, private_cluster, wait_until
from tests.slurm_sweeps import assert_completed_once, assert_went_on, toy_sweep

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_an_array_of_workers_on_two_nodes_completes_each_set_once(cluster: SlurmCluster, tmp_path: Path) -> None:
    """Covers: submission as one array, workers on both nodes, ends as COMPLETED, nothing left in the queue."""
    sweep = toy_sweep(
        cluster, tmp_path / "array", workers=4, trials=8, train=["steps=20", "pause=0.1"], options={"cpus_per_task": 2}
    )
    submission = sweep.submit()
    assert submission.record is not None
    assert submission.record.tasks == 4
    rows = sweep.wait_until_finished()
    assert_completed_once(rows, 8)
    assert len(sweep.rows()) == 8
    steps = [sweep.steps(number) for number in range(8)]
    for done in steps:
        assert [step.step for step in done] == list(range(1, 21))
        assert len({step.job for step in done}) == 1
    assert len({step.job for done in steps for step in done}) == 4
    if cluster.lab is not None:
        assert {step.node for done in steps for step in done} == {"node1", "node2"}
    wait_until(lambda: not cluster.tasks_of(sweep.job), what="the workers end by themselves")
    assert Queue().look([sweep.job])[sweep.job].state.over


def test_submitting_again_adds_only_the_workers_that_are_missing(cluster: SlurmCluster, tmp_path: Path) -> None:
    """Covers: topping up after one of two workers was cancelled, and the rest of the sweep by the new one."""
    sweep = toy_sweep(cluster, tmp_path / "top-up", workers=2, trials=2, train=["steps=100", "pause=0.1"])
    sweep.submit()
    sweep.wait_for_step(1, number=1)
    first = sweep.job
    assert sweep.submit().record is None
    cluster.run("scancel", sweep.task(0))
    wait_until(lambda: cluster.tasks_of(first) == [f"{first}_1"], what="one worker is gone")
    again = sweep.submit()
    assert again.record is not None
    assert again.record.tasks == 1
    assert_completed_once(sweep.wait_until_finished(), 2)
    for number in range(2):
        assert_went_on(sweep.steps(number), 100)


def test_two_sweeps_at_once_keep_apart(cluster: SlurmCluster, tmp_path: Path) -> None:
    """Covers: two sweeps with workers on the same nodes; each job works for one of them only."""
    sweeps = [
        toy_sweep(cluster, tmp_path / name, workers=2, trials=3, train=["steps=15", "pause=0.1"])
        for name in ("first", "second")
    ]
    for sweep in sweeps:
        sweep.submit()
    jobs = []
    for sweep in sweeps:
        assert_completed_once(sweep.wait_until_finished(), 3)
        jobs.append({step.job for number in range(3) for step in sweep.steps(number)})
    assert not jobs[0] & jobs[1]


def test_two_trials_share_one_job(cluster: SlurmCluster, tmp_path: Path) -> None:
    """Covers: packing; both trials run at the same time in one job, each with a claim of its own."""
    sweep = toy_sweep(
        cluster,
        tmp_path / "packed",
        workers=2,
        trials=3,
        train=["steps=25", "pause=0.1"],
        options={"trials_per_job": 2},
    )
    submission = sweep.submit()
    assert submission.record is not None
    assert submission.record.tasks == 1
    assert_completed_once(sweep.wait_until_finished(), 3)
    first, second, third = (sweep.steps(number) for number in range(3))
    assert {step.job for step in [*first, *second, *third]} == {first[0].job}
    assert max(first[0].time, second[0].time) < min(first[-1].time, second[-1].time)
    slots = {row.user_attrs["claim"]["slot"] for row in sweep.sweep.storage.get_all_trials(sweep.sweep.study_id)}
    assert slots == {0, 1}


def test_cancelling_a_sweep_saves_running_trials_and_empties_the_queue(cluster: SlurmCluster, tmp_path: Path) -> None:
    """Covers: `nines sweep cancel`; afterwards submitting again goes on where the trials stood."""
    sweep = toy_sweep(
        cluster,
        tmp_path / "cancelled",
        workers=2,
        trials=2,
        # A minute: the command that cancels may take long on a busy machine. It is not trained to its end.
        train=["steps=600", "pause=0.1"],
        options={"max_running": 1},
    )
    sweep.submit()
    sweep.wait_for_step(5)
    nines("sweep", "cancel", f"folder={sweep.sweep.folder}")
    wait_until(lambda: not cluster.tasks_of(sweep.job), seconds=60, what="no task is left")
    stopped_at = len(sweep.steps())
    assert 5 <= stopped_at < 600
    assert sweep.states()["interrupted"] == 1
    time.sleep(1)
    assert len(sweep.steps()) == stopped_at
    changed = sweep.sweep.folder / "cancelled"
    sweep.submit()
    assert not changed.exists()
    sweep.wait_for_step(stopped_at + 1)
    assert [step.step for step in sweep.steps()][: stopped_at + 1] == list(range(1, stopped_at + 2))


def test_without_accounting_a_cancelled_job_is_noticed_and_its_trial_retried(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Covers: a cluster where sacct knows nothing; squeue alone tells that a job is gone."""
    with private_cluster(accounting=False) as cluster:
        for name, value in cluster.environment.items():
            monkeypatch.setenv(name, value)
        sweep = toy_sweep(cluster, tmp_path / "unaccounted", workers=2, trials=2, train=["steps=60", "pause=0.1"])
        sweep.submit()
        sweep.wait_for_step(5, number=1)
        sweep.wait_for_step(5)
        cancelled = sweep.holder()
        cluster.run("scancel", cancelled)
        rows = sweep.wait_until_finished()
        assert_completed_once(rows, 2)
        assert_went_on(sweep.steps(0), 60)
        assert [row.retry_of for row in rows if row.group == 0] == [0]
        assert Queue().look([cancelled])[cancelled].state.over
        wait_until(lambda: not cluster.tasks_of(sweep.job), what="the other worker ends by itself")
        assert Queue().look([sweep.job])[sweep.job].state.over
