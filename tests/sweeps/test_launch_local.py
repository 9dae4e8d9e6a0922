import os
import signal
import threading
import time

import pytest

from nines.files import read_json
from sweeps.cancel import cancel, live_workers
from sweeps.launch_local import LocalLauncher, LocalOptions
from sweeps.records import results
from tests.sweeps.conftest import PRELOAD, REPOSITORY, RUN_TRIAL, wait_until


class Notes:
    """Keeps what the launcher tells."""

    def __init__(self):
        self.lines = []
        self.updates = 0

    def update(self, trials, *, workers):
        self.updates += 1

    def note(self, line):
        self.lines.append(line)


@pytest.fixture
def launcher(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))

    def make(sweep, **options):
        defaults = {"run_trial": RUN_TRIAL, "preload": PRELOAD, "refresh_seconds": 0.1}
        return LocalLauncher(sweep, LocalOptions(**{**defaults, **options}), watcher=Notes())

    return make


def later(action, *, when):
    """Run `action` in a thread as soon as `when` holds."""

    def act():
        wait_until(when)
        action()

    thread = threading.Thread(target=act)
    thread.start()
    return thread


def workers_of(sweep):
    return [read_json(path)["pid"] for path in (sweep.folder / "workers").glob("*.json")]


def test_workers_share_the_trials_and_the_launcher_says_that_all_ended(make_sweep, launcher):
    sweep = make_sweep(trials=4)
    made = launcher(sweep, workers=2)
    assert made.run()
    assert [trial.state for trial in sweep.trials()] == ["completed"] * 4
    assert made.watcher.updates >= 1
    assert made.log(0).read_text().count("ready after") == 1
    assert workers_of(sweep) == [], "a worker that ends signs out"


def test_ctrl_c_lets_trials_save_and_the_next_start_finishes(make_sweep, launcher):
    sweep = make_sweep(trials=2, train=["steps=25", "pause=0.05"])
    made = launcher(sweep, workers=2)
    started = sweep.folder / "trials" / "0000" / "steps.txt"
    thread = later(lambda: os.kill(os.getpid(), signal.SIGINT), when=started.exists)
    assert not made.run()
    thread.join()
    assert made.stop_requests == 1
    assert "interrupted" in {trial.state for trial in sweep.trials()}
    assert any("saves a checkpoint first" in line for line in made.watcher.lines)
    assert launcher(sweep, workers=2).run()
    assert [trial.state for trial in sweep.trials()] == ["completed"] * 2


def test_a_killed_worker_is_replaced(make_sweep, launcher):
    sweep = make_sweep(trials=2, train=["steps=10", "pause=0.1"])
    made = launcher(sweep, workers=1)
    started = sweep.folder / "trials" / "0000" / "steps.txt"
    thread = later(lambda: os.kill(workers_of(sweep)[0], signal.SIGKILL), when=started.exists)
    assert made.run()
    thread.join()
    assert made.watcher.lines == ["worker 0 was killed by SIGKILL; another takes its place"]
    assert [row.state for row in results(sweep.trials())] == ["completed"] * 2


def test_a_worker_that_cannot_start_is_reported_with_the_end_of_its_log(make_sweep, launcher):
    made = launcher(make_sweep(), run_trial="tests.sweeps.fake_training:no_such_function")
    assert not made.run()
    assert "no_such_function" in made.watcher.lines[0]


def test_cancel_stops_the_workers_and_the_next_start_goes_on(make_sweep, launcher):
    sweep = make_sweep(trials=1, train=["steps=40", "pause=0.1"])
    made = launcher(sweep, workers=1)
    left = []
    thread = later(lambda: left.append(cancel(sweep)), when=(sweep.folder / "trials" / "0000" / "steps.txt").exists)
    started = time.monotonic()
    assert not made.run()
    thread.join()
    assert time.monotonic() - started < 20
    assert made.stopped
    assert made.stop_requests == 0
    assert [bool(one) for one in left] == [False]
    assert live_workers(sweep) == []
    assert sweep.trials()[0].state == "interrupted"
