"""Workers as processes of this machine, watched from the terminal that started them.

Ctrl-C reaches this process only: it passes the wish on, and each worker lets its trial save a checkpoint first.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Protocol

from slurm.job_environment import PROCESS_ENVIRONMENT
from sweeps.cancel import clear_cancelled
from sweeps.orders import CancelledMark
from sweeps.study import Sweep
from sweeps.trial import TrialRecord
from sweeps.worker import STOPPED

POLL_SECONDS = 0.2


class Watcher(Protocol):
    """Shows how the sweep goes; see `sweeps.progress`."""

    def update(self, trials: list[TrialRecord], *, workers: int) -> None:
        """Take notice of the trials as they are now."""

    def note(self, line: str) -> None:
        """Tell the user something that happened to the workers."""


@dataclasses.dataclass(frozen=True)
class LocalOptions:
    """How to run the workers.

    Attributes:
        run_trial: `module:function` that trains a `TrialJob`.
        preload: `module:function` that imports what every trial needs, None for nothing.
        workers: Number of worker processes.
        threads: Threads of each trial, or of each of its ranks.
        ranks: Processes of each trial.
        restarts: How often a worker that was killed is replaced.
        refresh_seconds: Time between two looks at the study.
    """

    run_trial: str
    preload: str | None = None
    workers: int = 1
    threads: int = 1
    ranks: int = 1
    restarts: int = 3
    refresh_seconds: float = 1.0


class LocalLauncher:
    """Starts the workers of one sweep and waits for them.

    Args:
        sweep: The open sweep.
        options: How to run the workers.
        watcher: Shows how the sweep goes.
    """

    def __init__(self, sweep: Sweep, options: LocalOptions, *, watcher: Watcher) -> None:
        self.sweep = sweep
        self.options = options
        self.watcher = watcher
        self.stop_requests = 0
        self.cancelled = False
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._restarts_left = options.restarts

    @property
    def stopped(self) -> bool:
        """Whether somebody stopped the sweep, here or by `nines sweep cancel` from elsewhere."""
        return self.stop_requests > 0 or self.cancelled

    def run(self) -> bool:
        """Run until nothing is left to do or the user stops it.

        Returns:
            Whether the sweep ran to its end; False when it was stopped or its workers could not go on.
        """
        clear_cancelled(self.sweep)
        previous = {
            number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
        try:
            return self._watch()
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _watch(self) -> bool:
        for index in range(self.options.workers):
            self._running[index] = self._start(index)
        passed_on, looked, good = 0, 0.0, True
        while self._running:
            while passed_on < self.stop_requests:
                self._pass_on()
                passed_on += 1
            for index, process in list(self._running.items()):
                code = process.poll()
                if code is not None:
                    del self._running[index]
                    good = self._ended(index, code) and good
            if time.monotonic() - looked >= self.options.refresh_seconds:
                self.watcher.update(self.sweep.trials(), workers=len(self._running))
                looked = time.monotonic()
            time.sleep(POLL_SECONDS)
        self.watcher.update(self.sweep.trials(), workers=0)
        return good and not self.stopped

    def _ended(self, index: int, code: int) -> bool:
        """Handle the end of worker `index`; returns whether it ended well or was replaced."""
        if code == 0:
            return True
        if code == STOPPED and self.stop_requests == 0 and CancelledMark(self.sweep).look():
            self.cancelled = True
        if code == STOPPED or self.stop_requests:
            return False
        log = self.log(index)
        if code < 0 and self._restarts_left > 0:
            self._restarts_left -= 1
            self.watcher.note(f"worker {index} was killed by {signal.Signals(-code).name}; another takes its place")
            self._running[index] = self._start(index)
            return True
        last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-1:] if log.exists() else []
        self.watcher.note(f"worker {index} ended with code {code}: {' '.join(last)} (its log: {log})")
        return False

    def log(self, index: int) -> Path:
        """The log of worker `index`."""
        return self.sweep.folder / "workers" / f"{socket.gethostname()}-{index}.log"

    def _start(self, index: int) -> subprocess.Popen[bytes]:
        log = self.log(index)
        log.parent.mkdir(parents=True, exist_ok=True)
        options = self.options
        command = [sys.executable, "-m", "sweeps.worker", "--folder", str(self.sweep.folder)]
        command += ["--run-trial", options.run_trial, "--threads", str(options.threads), "--index", str(index)]
        command += ["--launcher", str(os.getpid())]
        if options.ranks > 1:
            command += ["--ranks", str(options.ranks)]
        if options.preload:
            command += ["--preload", options.preload]
        with log.open("ab") as output:
            # A session of its own keeps the terminal's Ctrl-C away.
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **PROCESS_ENVIRONMENT},
            )

    def _pass_on(self) -> None:
        for process in self._running.values():
            process.send_signal(signal.SIGTERM)
        if self.stop_requests == 1:
            self.watcher.note("stopping: each trial saves a checkpoint first (Ctrl-C again stops at once)")

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.stop_requests += 1
