import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from sweeps.records import results
from tests.sweeps.fake_training import completions_of, steps_of


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            if parent == pid:
                found.append(int(entry.name))
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the processes to kill in /proc")
@pytest.mark.parametrize("seed", [0, 1])
def test_twenty_rounds_of_kills_lose_and_double_nothing(make_sweep, start_worker, seed):
    rng = random.Random(seed)
    steps = 8
    sweep = make_sweep(trials=10, seeds=2, train=[f"steps={steps}", "pause=0.03"], retries=1000)
    workers: list[subprocess.Popen[bytes]] = []
    kills = 0
    for _ in range(20):
        workers = [worker for worker in workers if worker.poll() is None]
        while len(workers) < 2:
            workers.append(start_worker(sweep))
        time.sleep(rng.uniform(0.1, 2.5))
        victim = rng.choice(workers)
        targets = [victim.pid, *_descendants(victim.pid)]
        try:
            os.kill(rng.choice(targets), rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGINT]))
            kills += 1
        except ProcessLookupError:
            continue
    for worker in workers:
        worker.wait(300)
    if any(row.state != "completed" for row in results(sweep.trials())) or len(results(sweep.trials())) < 20:
        assert start_worker(sweep).wait(300) == 0
    trials = sweep.trials()
    rows = results(trials)
    assert kills >= 10
    assert [row.state for row in rows] == ["completed"] * 20
    assert sorted((row.group, row.seed) for row in rows) == [(g, s) for g in range(10) for s in range(2)]
    assert [completions_of(row.folder) for row in rows] == [1] * 20
    for row in rows:
        assert row.value == pytest.approx(1 - (row.params["x"] - 0.3) ** 2 + 0.001 * row.seed)
        attempts = sum(other.folder == row.folder for other in trials)
        made = steps_of(row.folder)
        assert set(made) == set(range(1, steps + 1))
        # Each kill costs the one step since the last checkpoint; a signal that is obeyed may cost one as well.
        assert len(made) - steps <= attempts - 1 + kills
    by_group = {row.group: row.params for row in rows if row.seed == 0}
    assert all(row.params == by_group[row.group] for row in rows)
