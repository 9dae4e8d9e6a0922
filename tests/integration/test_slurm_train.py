"""`nines train … launcher=slurm` on a real SLURM: interrupted and requeued, it equals the run that nobody disturbed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nines.run_folder import RunFolder, RunStatus
from tests.slurm_cluster import REPOSITORY, SlurmCluster, wait_until
from tests.trainings import SMALL, assert_same_to_the_bit, run_in_child

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

LONG = [*SMALL, "trainer.max_epochs=6", "callbacks.checkpoints.every_n_steps=5"]
LAUNCHER = ["launcher=slurm", "launcher.cpus_per_task=1", "launcher.signal_seconds=30", "launcher.time='00:10:00'"]


def nines_train(*words: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", "apps.cli", "train", *words],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_a_run_that_was_interrupted_and_requeued_equals_the_undisturbed_one(
    cluster: SlurmCluster, tmp_path: Path
) -> None:
    """Covers: submitting one run, the same command while it is queued, USR1, requeue, resume, bit for bit."""
    words = [*LONG, f"runs={tmp_path}", *LAUNCHER]
    printed = nines_train(*words)
    found = re.search(r"job (\d+)", printed)
    assert found is not None, printed
    job = found[1]
    assert job in nines_train(*words)
    assert cluster.tasks_of(job) == [job]
    if cluster.lab is not None:
        assert cluster.jobs("%i") == [[job]], "the same command submitted a second job"
    folder = RunFolder(next((tmp_path / "train").iterdir()))

    def step() -> int:
        status = RunStatus.read(folder)
        return status.step if status is not None and status.state == "running" else 0

    wait_until(lambda: step() >= 10, seconds=90, what=f"step 10 of {folder.path}: {_log(folder)}")
    cluster.run("scancel", "--signal=USR1", "--batch", job)

    def completed() -> bool:
        status = RunStatus.read(folder)
        assert status is None or status.state != "failed", f"{status}: {_log(folder)}"
        return status is not None and status.state == "completed"

    wait_until(completed, seconds=120, what=f"the end of {folder.path}: {_log(folder)}")
    environment = json.loads(folder.environment.read_text(encoding="utf-8"))
    assert "SLURM_JOB_ID" in json.dumps(environment)
    status = RunStatus.read(folder)
    assert status is not None
    assert status.job_id == job
    assert (status.restarts or 0) >= 1, "the run ended before it was interrupted"
    wait_until(lambda: not cluster.tasks_of(job), what="the job ends")
    assert run_in_child(tmp_path / "undisturbed", LONG[len(SMALL) :]) == 0
    assert_same_to_the_bit(tmp_path / "undisturbed", folder.path)


def _log(folder: RunFolder) -> str:
    logs = [path for path in folder.path.glob("*") if path.suffix in (".log", ".txt")]
    return "\n".join(f"{path.name}: {path.read_text(errors='replace')[-1500:]}" for path in logs)
