"""A clean process for one trial: forked from a worker that has loaded everything, and gone when the worker is gone."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import gc
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeAlias

from nines.errors import NinesError
from nines.folder_lock import lock_folder
from nines.run_folder import RunFolder, RunStatus, State
from sweeps.trial import TrialJob

RunTrial: TypeAlias = Callable[[TrialJob], None]

FOLDER_LOCK_SECONDS = 30.0
SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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
        folder = RunFolder(job.folder)
        _redirect_output(folder.log)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        code = _run(job, run_trial, folder=folder, threads=threads)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _run(job: TrialJob, run_trial: RunTrial, *, folder: RunFolder, threads: int) -> int:
    try:
        lock = lock_folder(folder.path, wait_seconds=FOLDER_LOCK_SECONDS)
        folder.clear_leftovers()
        _set_threads(threads)
        run_trial(job)
        lock.close()
    except KeyboardInterrupt:
        _close_status(folder, "interrupted", "interrupted")
        return 130
    except NinesError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - standard error is the trial's log
        _close_status(folder, "failed", str(error).splitlines()[0])
        return 1
    except Exception as error:
        traceback.print_exc()
        first = str(error).splitlines()[0] if str(error) else ""
        _close_status(folder, "failed", f"{type(error).__name__}: {first}")
        return 1
    return 0


def _close_status(folder: RunFolder, state: State, message: str) -> None:
    status = RunStatus.read(folder) or RunStatus(state)
    if status.state not in ("failed", "interrupted") or not status.message:
        dataclasses.replace(status, state=state, message=message, updated=time.time()).write(folder)


def _redirect_output(log: Path) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    # The worker's objects may be captured or unbuffered otherwise; these write lines where the descriptors lead.
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115


def _set_threads(threads: int) -> None:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
    # Torch reads the variables when it is imported, which the worker may have done; it is not imported for this.
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(threads)


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
