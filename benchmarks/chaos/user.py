"""The user of the sweep: starts it, starts it again when its workers are gone, and waits for its end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.chaos.targets import Cluster
from nines.errors import NinesError
from sweeps.records import results
from sweeps.study import Sweep, open_study

REPOSITORY = Path(__file__).parents[2]
CONFIG = Path(__file__).parent / "conf"
POLL_SECONDS = 2.0
COMMAND_SECONDS = 300.0


class SweepError(RuntimeError):
    """The sweep could not be started, or did not end in time."""


class User:
    """Drives one sweep by `nines sweep`, as a person would.

    Args:
        cluster: Where it runs.
        folder: Folder of the sweep.
        words: What follows `nines sweep`.
        workers: Workers to start.
        note: Tells what happens.
    """

    def __init__(
        self, cluster: Cluster, folder: Path, words: Sequence[str], *, workers: int, note: Callable[[str], None]
    ) -> None:
        self.cluster = cluster
        self.folder = folder
        self.words = [*words, f"folder={folder}", f"workers={workers}", "launcher=slurm"]
        self.workers = workers
        self.note = note
        self.starts = 0

    def start(self, *more: str) -> None:
        """`nines sweep …`, from a shell that knows the cluster; again while the controller is away.

        Raises:
            SweepError: The command fails although the controller answers.
        """
        command = [sys.executable, "-m", "apps.cli", "sweep", "--config-dir", str(CONFIG), *self.words, *more]
        for _ in range(5):
            ended = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=COMMAND_SECONDS,
                check=False,
                env={**os.environ, **self.environment},
            )
            if ended.returncode == 0:
                self.starts += 1
                self.note(f"nines sweep: {' / '.join(ended.stdout.split(chr(10))[:6])}")
                return
            self.note(f"nines sweep failed ({ended.returncode}): {ended.stderr.strip()[-300:]}")
            time.sleep(5)
        raise SweepError(f"{' '.join(command)}: {ended.stderr.strip() or ended.stdout.strip()}")

    @property
    def environment(self) -> Mapping[str, str]:
        """What the user's shell has set; the jobs need the modules of this repository, too."""
        return {**self.cluster.environment, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "200"}

    def open(self) -> Sweep:
        """The sweep, read anew."""
        return open_study(self.folder)

    def finished(self) -> bool:
        """Whether every set of parameters has its result."""
        sweep = self.open()
        rows = results(sweep.trials())
        wanted = sweep.definition.trials * sweep.definition.seeds
        return len(rows) == wanted and all(row.finished for row in rows)

    def look_after(self, *, until: Callable[[], bool], seconds: float) -> None:
        """Start workers again when half of them or more are gone, until the sweep is finished and `until` holds.

        `until` is asked at each look, also while the sweep is unfinished: it may have to mend what keeps it so.

        Raises:
            SweepError: It does not come to that in `seconds`.
        """
        end = time.monotonic() + seconds
        shown = ""
        while True:
            finished, over = self._finished_or_unknown(), until()
            if finished and over:
                return
            if time.monotonic() > end:
                raise SweepError(f"the sweep has not ended after {seconds:.0f} s: {self.state()}")
            jobs = self.cluster.jobs()
            if (
                jobs is not None
                and not finished
                and len(jobs) <= self.workers // 2
                and not self._nearly_done(len(jobs))
            ):
                self.note(f"{len(jobs)} workers left")
                self.start()
            if (state := self.state()) != shown:
                self.note(state)
                shown = state
            time.sleep(POLL_SECONDS)

    def state(self) -> str:
        """One line: how many rows are in which state."""
        try:
            states = [row.state for row in results(self.open().trials())]
        except NinesError as error:
            return str(error)
        return ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))

    def _finished_or_unknown(self) -> bool:
        try:
            return self.finished()
        except NinesError as error:
            self.note(str(error))
            return False

    def _nearly_done(self, alive: int) -> bool:
        """Whether those workers that live are enough for what is left."""
        sweep = self.open()
        rows = results(sweep.trials())
        left = sweep.definition.trials * sweep.definition.seeds - sum(row.finished for row in rows)
        return 0 < left <= alive
