"""`nines train … launcher=slurm` on a real SLURM: interrupted and requeued, it equals the run that nobody disturbed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from nines.run_folder import RunFolder, RunStatus
from tests.distributed import train_on_ranks
from tests.slurm_cluster import SlurmCluster, nines, wait_until
from tests.trainings import SMALL, assert_same_to_the_bit, metrics_of, run_in_child

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # of real ranks on a machine that may be busy

LONG = [*SMALL, "trainer.max_epochs=6", "callbacks.checkpoints.every_n_steps=5"]
# Of two ranks and some 50 steps; validates, and so saves, at the end alone.
SLOW_DDP = [
    *("trainer=ddp", "trainer.accelerator=cpu", "trainer.precision=32-true"),
    *("trainer.max_epochs=9", "trainer.check_val_every_n_epoch=9", "callbacks.checkpoints.every_n_steps=null"),
]
LAUNCHER = ["launcher=slurm", "launcher.cpus_per_task=1", "launcher.signal_seconds=30", "launcher.time='00:10:00'"]


def submitted(*words: str) -> str:
    """The id of the job that trains the run."""
    printed = nines("train", *words)
    found = re.search(r"job (\d+)", printed)
    assert found is not None, printed
    return found[1]


def wait_for_step(folder: RunFolder, step: int) -> None:
    def done() -> int:
        status = RunStatus.read(folder)
        return status.step if status is not None and status.state == "running" else 0

    wait_until(lambda: done() >= step, seconds=180, what=f"step {step} of {folder.path}: {_log(folder)}")


def wait_for_end(cluster: SlurmCluster, folder: RunFolder, job: str) -> None:
    """Wait until the run is complete and its job gone; it was the same job all along, in at least its second start."""

    def completed() -> bool:
        status = RunStatus.read(folder)
        assert status is None or status.state != "failed", f"{status}: {_log(folder)}"
        return status is not None and status.state == "completed"

    wait_until(completed, seconds=300, what=f"the end of {folder.path}: {_log(folder)}")
    status = RunStatus.read(folder)
    assert status is not None
    assert status.job_id == job
    assert (status.restarts or 0) >= 1, "the run ended before it was interrupted"
    wait_until(lambda: not cluster.tasks_of(job), what="the job ends")


def test_a_run_that_was_interrupted_and_requeued_equals_the_undisturbed_one(
    cluster: SlurmCluster, tmp_path: Path
) -> None:
    """Covers: submitting one run, the same command while it is queued, USR1, requeue, resume, bit for bit."""
    words = [*LONG, f"runs={tmp_path}", *LAUNCHER]
    job = submitted(*words)
    assert job in nines("train", *words)
    assert cluster.tasks_of(job) == [job]
    if cluster.lab is not None:
        assert cluster.jobs("%i") == [[job]], "the same command submitted a second job"
    folder = RunFolder(next((tmp_path / "train").iterdir()))
    wait_for_step(folder, 10)
    cluster.run("scancel", "--signal=USR1", "--batch", job)
    wait_for_end(cluster, folder, job)
    environment = json.loads(folder.environment.read_text(encoding="utf-8"))
    assert "SLURM_JOB_ID" in json.dumps(environment)
    assert run_in_child(tmp_path / "undisturbed", LONG[len(SMALL) :]) == 0
    assert_same_to_the_bit(tmp_path / "undisturbed", folder.path)


def test_a_run_of_two_nodes_that_was_requeued_at_once_equals_the_undisturbed_one(
    cluster: SlurmCluster, tmp_path: Path
) -> None:
    """Covers: SIGTERM to both ranks at an arbitrary step, SIGKILL, resume; weights, optimizer and metrics, bit for bit.

    It saves when a signal asks for it and at the end, so it can only go on from what both ranks saved at SIGTERM.
    """
    paced = [*SLOW_DDP, "+callbacks.pace._target_=tests.slurm_training.Pace"]
    job = submitted(*SMALL, *paced, "trainer.devices=1", "trainer.num_nodes=2", f"runs={tmp_path}", *LAUNCHER)
    folder = RunFolder(next((tmp_path / "train").iterdir()))
    wait_for_step(folder, 5)
    assert not folder.last.exists()
    cluster.run("scontrol", "requeue", job)
    wait_until(folder.last.exists, seconds=20, what=f"a checkpoint: {_log(folder)}")
    wait_for_end(cluster, folder, job)
    assert f"resuming {folder.path} from" in folder.log.read_text(encoding="utf-8")
    train_on_ranks(tmp_path / "undisturbed", [*SLOW_DDP, "trainer.devices=2"])
    assert_same_to_the_bit(tmp_path / "undisturbed", folder.path)
    assert metrics_of(tmp_path / "undisturbed") == metrics_of(folder.path)


def _log(folder: RunFolder) -> str:
    logs = [path for path in folder.path.glob("*") if path.suffix in (".log", ".txt")]
    return "\n".join(f"{path.name}: {path.read_text(errors='replace')[-1500:]}" for path in logs)
