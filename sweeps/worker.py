"""A worker: takes one trial after the other, runs each in a process of its own, and writes down how it ended.

`python -m sweeps.worker --folder <sweep> --run-trial module:function` is one; a launcher starts several.
No trial can bring a worker down: whatever happens in it happens in its own process.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

import optuna

from nines.errors import NinesError
from nines.files import write_json
from nines.run_folder import RunFolder
from sweeps.claims import Claim
from sweeps.life_cycle import CANCELLED, Idle, finish, take
from sweeps.outcome import Outcome, read_outcome
from sweeps.study import Sweep, open_study
from sweeps.trial import TrialJob
from sweeps.trial_process import RunTrial, die_with, start_trial

POLL_SECONDS = 0.05
IDLE_SECONDS = 1.0
# How long a trial may take to save a checkpoint after it was asked to stop.
GRACE_SECONDS = 120.0
# How long a worker that begins waits for a database server that is restarted.
STORAGE_SECONDS = 600.0
STOPPED = 130


class Worker:
    """Runs trials of one sweep until none is left or it is asked to stop.

    The first SIGINT, SIGTERM or SIGHUP asks the running trial to save and stop, the second kills it.

    Args:
        sweep: The open sweep.
        run_trial: Trains one trial.
        threads: Threads of each trial.
    """

    def __init__(self, sweep: Sweep, run_trial: RunTrial, *, threads: int = 1) -> None:
        self.sweep = sweep
        self.run_trial = run_trial
        self.threads = threads
        self.path = sweep.folder / "workers" / f"{socket.gethostname()}-{os.getpid()}.json"
        self.stop_requests = 0

    def work(self) -> int:
        """Run trials until none is left.

        Returns:
            0 when nothing is left to do, 130 when asked to stop.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        write_json(self.path, Claim.mine().as_mapping())
        try:
            while not self._stopping():
                job = take(self.sweep)
                if job is Idle.DONE:
                    return 0
                if isinstance(job, TrialJob):
                    started = time.monotonic()
                    outcome = self._run(job)
                    say(f"trial {job.number}: {outcome.state}{f' ({outcome.reason})' if outcome.reason else ''}")
                    finish(self.sweep, job.number, outcome, spent=time.monotonic() - started)
                else:
                    self._sleep(IDLE_SECONDS)
            return STOPPED
        finally:
            self.path.unlink(missing_ok=True)

    def _run(self, job: TrialJob) -> Outcome:
        say(f"trial {job.number}: {' '.join(job.overrides)}")
        started = time.monotonic()
        pid = start_trial(job, self.run_trial, threads=self.threads)
        say(f"trial {job.number}: process {pid} after {time.monotonic() - started:.3f} s")
        exit_code = self._wait(pid)
        # Whatever the trial started and left behind goes with it.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        return read_outcome(
            RunFolder(job.folder),
            self.sweep.definition.objectives,
            exit_code=exit_code,
            stopping=self.stop_requests > 0,
        )

    def _wait(self, pid: int) -> int:
        asked: float | None = None
        while True:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            if self._stopping():
                if asked is None:
                    asked = time.monotonic()
                    os.kill(pid, signal.SIGINT)
                elif self.stop_requests > 1 or time.monotonic() - asked > GRACE_SECONDS:
                    os.kill(pid, signal.SIGKILL)
            time.sleep(POLL_SECONDS)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.stop_requests += 1

    def _stopping(self) -> bool:
        if self.stop_requests == 0 and (self.sweep.folder / CANCELLED).exists():
            self.stop_requests = 1
        return self.stop_requests > 0

    def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self._stopping():
            time.sleep(POLL_SECONDS)


def say(line: str) -> None:
    """One line with the time on standard output, which is the worker's log."""
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}", flush=True)  # noqa: T201


def load(name: str) -> Callable[..., None]:
    """The function that `module:function` names."""
    module, _, attribute = name.partition(":")
    function: Callable[..., None] = getattr(importlib.import_module(module), attribute)
    return function


def main(arguments: Sequence[str] | None = None) -> int:
    """Start a worker from the command line; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m sweeps.worker", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="folder of the sweep")
    parser.add_argument("--run-trial", required=True, help="module:function that takes a TrialJob and trains it")
    parser.add_argument("--preload", help="module:function, called once, that imports what every trial needs")
    parser.add_argument("--threads", type=int, default=1, help="threads of each trial")
    parser.add_argument("--index", type=int, default=0, help="number of this worker, for its log")
    parser.add_argument("--launcher", type=int, help="process id of the launcher; the worker stops when it is gone")
    options = parser.parse_args(arguments)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # The launcher may press Ctrl-C before the handlers of `work` stand; ending is then all there is to do.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if options.launcher is not None:
        die_with(options.launcher, signal.SIGTERM)
    try:
        started = time.monotonic()
        if options.preload:
            load(options.preload)()
        run_trial = load(options.run_trial)
        sweep = open_study(options.folder, wait_seconds=STORAGE_SECONDS)
        say(f"worker {options.index} of {sweep.name} ready after {time.monotonic() - started:.1f} s")
        code = Worker(sweep, run_trial, threads=options.threads).work()
    except NinesError as error:
        say(f"error: {error}")
        return error.exit_code
    say("stopped" if code == STOPPED else "nothing left to do")
    return code


if __name__ == "__main__":
    sys.exit(main())
