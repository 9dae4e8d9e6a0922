"""Processes of trials as a worker sees them, and the plainest kind: forked from a worker that has loaded everything.

Other kinds are `sweeps.trial_ranks` (several processes of this machine) and `sweeps.trial_step` (a step of a job).
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import NoReturn, Protocol

from nines.run_folder import RunFolder, RunStatus
from nines.run_owner import TOKEN_VARIABLE
from sweeps.trial import TrialJob
from sweeps.trial_body import RunTrial, run_in_folder

FOLDER_LOCK_SECONDS = 30.0
SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class TrialProcess(Protocol):
    """A trial that runs."""

    @property
    def name(self) -> str:
        """What it is, for the worker's log."""

    def poll(self) -> int | None:
        """None while it runs; then its exit code, negative for a signal. To be called often, and until it ended."""

    def ask_to_stop(self) -> None:
        """Ask it to save a checkpoint and end."""

    def kill(self) -> None:
        """End it at once; `poll` tells when it has."""


class TrialStarter(Protocol):
    """Starts trials in one way."""

    def start(self, job: TrialJob) -> TrialProcess:
        """Start `job`; its output goes into `log.txt` of its folder."""


class ForkedTrials:
    """Trials as forks of this process, which must have no other threads.

    Args:
        run_trial: Trains one trial.
        threads: Threads of each trial.
    """

    def __init__(self, run_trial: RunTrial, *, threads: int = 1) -> None:
        self.run_trial = run_trial
        self.threads = threads

    def start(self, job: TrialJob) -> ForkedTrial:
        """Fork a process for `job`, see `start_trial`."""
        return ForkedTrial(start_trial(job, self.run_trial, threads=self.threads))


class ForkedTrial:
    """A process that leads a group of its own.

    Args:
        pid: Its process id.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid

    @property
    def name(self) -> str:
        """The process id."""
        return f"process {self.pid}"

    def poll(self) -> int | None:
        """Its exit code; whatever it started and left behind goes with it."""
        ended, status = os.waitpid(self.pid, os.WNOHANG)
        if not ended:
            return None
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        return os.waitstatus_to_exitcode(status)

    def ask_to_stop(self) -> None:
        """Send SIGINT."""
        os.kill(self.pid, signal.SIGINT)

    def kill(self) -> None:
        """Send SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)


def start_trial(job: TrialJob, run_trial: RunTrial, *, threads: int) -> int:
    """Fork a process that calls `run_trial(job)`; the caller's process must have no other threads.

    The process gets a process group of its own, `log.txt` of the run folder as standard output and error, default
    signal handlers (SIGINT raises KeyboardInterrupt), and ends by `os._exit`, so that nothing of the worker runs twice.

    Args:
        job: The trial.
        run_trial: Trains it, and writes `status.json` and `metrics.json`.
        threads: Threads for arithmetic.

    Returns:
        The process id, which is also that of its group.
    """
    folder = RunFolder(job.folder)
    # What an earlier attempt said of its end must not pass for the end of this one.
    RunStatus("starting").write(folder)
    sys.stdout.flush()
    sys.stderr.flush()
    gc.freeze()  # keeps the collector of the child from touching, and so copying, what the worker loaded
    worker = os.getpid()
    # A signal sent to the child before it has handlers of its own would run the worker's and be lost.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    pid = os.fork()
    if pid == 0:
        _child(job, run_trial, threads=threads, worker=worker)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    # Set on both sides, or a signal to the group could come before the child has made it.
    with contextlib.suppress(PermissionError, ProcessLookupError):
        os.setpgid(pid, pid)
    return pid


def _child(job: TrialJob, run_trial: RunTrial, *, threads: int, worker: int) -> NoReturn:
    code = 1
    try:
        os.setpgid(0, 0)
        die_with(worker, signal.SIGKILL)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _redirect_output(RunFolder(job.folder).log)
        if job.token:
            os.environ[TOKEN_VARIABLE] = job.token
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        code = run_in_folder(job, run_trial, threads=threads, lock_seconds=FOLDER_LOCK_SECONDS)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _redirect_output(log: Path) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    # The worker's objects may be captured or unbuffered otherwise; these write lines where the descriptors lead.
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115


def die_with(parent: int, number: signal.Signals) -> None:
    """Have this process get signal `number` when process `parent`, which started it, ends in whatever way.

    Linux does this in the kernel, at once. Elsewhere a thread looks twice a second.

    Raises:
        OSError: The kernel refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "prctl"):
        if libc.prctl(SET_PARENT_DEATH_SIGNAL, int(number), 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
        # It may have ended before the call.
        if os.getppid() != parent:
            os.kill(os.getpid(), number)
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), number)

    threading.Thread(target=watch, name="parent watch", daemon=True).start()
