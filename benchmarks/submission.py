"""What SLURM costs a sweep: from its submission to the first training step, and from one trial of a worker to the next.

    NINES_SLURM_UP=…/slurm-up python -m benchmarks.submission --rounds 3

Starts a private cluster by the script that the variable names; without it, the cluster at hand is used, whose queue
then is part of the figure. Each round submits a sweep of three short real trainings to one worker on the idle cluster
by `nines sweep … launcher=slurm`. Times are taken from outside: of the command when it is started, of the first step
from the trace of the trial, of the end of a trial and of the `srun` of the next one from the log of the worker and the
process table.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.chaos.targets import Cluster
from benchmarks.chaos.trace import read_trace
from benchmarks.chaos.user import User
from benchmarks.paired import machine, write_figures
from benchmarks.slurm_lab import SlurmLab, starter_named_by_environment

TRIALS = 3
MOST_SECONDS = 300.0
POLL_SECONDS = 0.01
FIRST_STEP = "from nines sweep to the first training step"
SUBMITTED = "  of which nines sweep itself"
STARTED = "  from there to the start of the first rank"
IDLE = "from the end of a trial's step to the srun of the next"
TARGETS = {FIRST_STEP: 15.0, IDLE: 1.0}


@contextlib.contextmanager
def cluster_for_measurement() -> Iterator[Cluster]:
    """A private cluster where a starter is named, else the one at hand."""
    starter = starter_named_by_environment()
    if starter is None:
        yield Cluster({})
        return
    with tempfile.TemporaryDirectory(prefix="nines-slurm-", ignore_cleanup_errors=True) as folder:
        lab = SlurmLab.start(starter, Path(folder))
        try:
            yield Cluster(lab.environment)
        finally:
            lab.stop()


def measure(cluster: Cluster, folder: Path) -> dict[str, list[float]]:
    """One sweep; seconds of each stage, of which a worker's idle times are several."""
    words = ["sweep=chaos", f"trials={TRIALS}", "threads=1", "trainer.max_epochs=1", "datamodule.limit_rows=160"]
    user = User(cluster, folder, [*words, "launcher.cpus_per_task=2"], workers=1, note=lambda _: None)
    begun = time.time()
    user.start()
    returned = time.time()
    steps = StepWatch(cluster)
    end = time.monotonic() + MOST_SECONDS
    while not user.finished():
        if time.monotonic() > end:
            raise SystemExit(f"the sweep has not ended after {MOST_SECONDS:.0f} s: {user.state()}")
        # Opening the study takes longer than a look at the processes, so most looks are at these.
        steps.watch(1.0)
    while cluster.jobs():
        time.sleep(0.2)
    first = min(event.time for event in read_trace(folder / "trials" / "0000") if event.kind == "start")
    return {
        FIRST_STEP: [first - begun],
        SUBMITTED: [returned - begun],
        STARTED: [steps.seen[0][0] - returned],
        IDLE: steps.gaps(),
    }


class StepWatch:
    """Notes when the `srun` of each trial begins and ends, by looking at the process table many times a second."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.seen: list[tuple[float, float]] = []
        self._running: dict[int, int] = {}  # process id to its place in `seen`
        self._forks: set[int] = set()

    def watch(self, seconds: float) -> None:
        """Look for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            now = time.time()
            # srun forks a process of the same name, which may outlive it; the parent alone counts.
            alive = {process.pid for process in self.cluster.processes("srun")}
            self._forks |= {pid for pid in alive if _parent(pid) in alive}
            parents = alive - self._forks
            for pid in parents - self._running.keys():
                self._running[pid] = len(self.seen)
                self.seen.append((now, now))
            for pid in list(self._running):
                place = self._running[pid]
                if pid in parents:
                    self.seen[place] = (self.seen[place][0], now)
                else:
                    del self._running[pid]
            time.sleep(POLL_SECONDS)

    def gaps(self) -> list[float]:
        """Seconds between the end of each step and the beginning of the next."""
        return [after[0] - before[1] for before, after in zip(self.seen, self.seen[1:], strict=False)]


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print the median of each stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="sweeps that are submitted (3)")
    parser.add_argument("--json", type=Path, help="also write all figures here")
    options = parser.parse_args(arguments)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    figures: dict[str, list[float]] = {}
    with cluster_for_measurement() as cluster, tempfile.TemporaryDirectory(prefix="nines-submission-") as folder:
        for index in range(options.rounds):
            for name, values in measure(cluster, Path(folder) / f"sweep-{index}").items():
                figures.setdefault(name, []).extend(values)
    print(f"seconds by the wall clock, {options.rounds} sweeps on {machine()}")
    for name, values in figures.items():
        target = f"   target: under {TARGETS[name]:.0f}" if name in TARGETS else ""
        print(f"  {name:<56} {statistics.median(values):6.2f}   {min(values):.2f} to {max(values):.2f}{target}")
    write_figures(options.json, figures)


if __name__ == "__main__":
    main()
