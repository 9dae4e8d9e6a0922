import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest

from apps.sweep_options import SweepRequest
from sweeps.definition import SweepDefinition, parse_definition
from sweeps.life_cycle import Idle, take
from sweeps.outcome import Outcome
from sweeps.settling import finish
from sweeps.study import Sweep, create_study

REPOSITORY = Path(__file__).parents[2]
RUN_TRIAL = "tests.sweeps.fake_training:run_trial"
PRELOAD = "tests.sweeps.fake_training:preload"

optuna.logging.set_verbosity(optuna.logging.WARNING)


def definition(**changes: Any) -> SweepDefinition:
    source: dict[str, Any] = {
        "name": "toy",
        "space": {"x": "interval(0, 1)"},
        "objectives": ["maximize score"],
        "trials": 3,
        "sampler": "random",
    }
    return parse_definition({**source, **changes})


def toy_request(words: Sequence[str]) -> SweepRequest:
    """The request for two toy trials in ./toy, whatever `words` fix in each."""
    folder = Path("toy").absolute()
    train = [word for word in words if not word.startswith("folder=")]
    return SweepRequest(
        definition(trials=2, train=train), folder, None, workers=1, threads=1, named_only=True, explicit_folder=True
    )


MakeSweep = Callable[..., Sweep]


@pytest.fixture
def make_sweep(tmp_path: Path) -> MakeSweep:
    def make(**changes: Any) -> Sweep:
        return create_study(tmp_path / "toy", definition(**changes))

    return make


@pytest.fixture
def start_worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a worker process on a sweep; whatever is left of it is killed after the test."""
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    started: list[subprocess.Popen[bytes]] = []

    def start(sweep: Sweep, *extra: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "sweeps.worker", "--folder", str(sweep.folder), "--run-trial", RUN_TRIAL]
        with (sweep.folder / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                [*command, "--preload", PRELOAD, *extra], stdout=log, stderr=log, start_new_session=True
            )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()


def wait_until(holds: Callable[[], bool], *, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.02)


def completed(*values: float) -> Outcome:
    return Outcome("completed", values, {"score": values[0]})


def drain(sweep: Sweep, value: float = 0.5) -> list[Any]:
    """Complete everything that there is to take; the jobs."""
    jobs = []
    while not isinstance(job := take(sweep), Idle):
        jobs.append(job)
        finish(sweep, job.number, completed(value))
    return jobs


def lives(pid: int) -> bool:
    """Whether the process runs; one that has ended and that nobody has waited for does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or ") Z" not in stat.read_text()
