"""`nines sweep trainer=ddp` on one machine: each trial is two real ranks, which the worker starts, never Lightning."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nines.run_folder import RunFolder, RunStatus
from sweeps.study import open_study
from tests.sweeps.conftest import REPOSITORY, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

TWO_RANKS = [
    "model=tiny",
    "trainer=ddp",
    "trainer.accelerator=cpu",
    "trainer.precision=32-true",
    "trainer.enable_progress_bar=false",
]


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """Run `nines sweep` in a folder below `tmp_path`; returns its process."""
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "apps.cli", "sweep", "sweep=quick", f"folder={tmp_path / 'toy'}", *TWO_RANKS]
        started.append(
            subprocess.Popen(
                [*command, "workers=1", "threads=1", *words],
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_trials_of_two_ranks_train_report_and_resume_what_was_interrupted(sweep, tmp_path: Path) -> None:
    words = ["trials=1", "clipping=norm", "module.optimizer.lr=choice(1e-3)", "test=false"]
    first = sweep(*words)
    folder = RunFolder(tmp_path / "toy" / "trials" / "0000")

    def stepped() -> bool:
        assert first.poll() is None, first.communicate()[0]
        status = RunStatus.read(folder) if folder.status.exists() else None
        return status is not None and status.step >= 3

    wait_until(stepped, seconds=120)
    first.send_signal(signal.SIGINT)
    output, _ = first.communicate(timeout=120)
    assert first.returncode == 130, output
    trial = open_study(tmp_path / "toy").trials()[0]
    assert (trial.state, folder.last.exists()) == ("interrupted", True), folder.log.read_text()
    stopped_at = RunStatus.read(folder).step
    second = sweep(*words)
    output, _ = second.communicate(timeout=240)
    assert second.returncode == 0, f"{output}\n{folder.log.read_text()}"
    (trial,) = open_study(tmp_path / "toy").trials()
    assert trial.state == "completed"
    status = RunStatus.read(folder)
    assert 3 <= stopped_at < status.step == status.total_steps
    assert status.ranks == 2
    assert list(trial.intermediate_values), "rank 0 reported"
    (worker_log,) = (tmp_path / "toy" / "workers").glob("*.log")
    assert len(re.findall(r"trial 0: processes \d+ \d+ after", worker_log.read_text())) == 2, "two ranks, twice"
    assert trial.metrics
