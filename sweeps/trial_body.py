"""What the process of a trial does: holds the run folder, trains, and leaves a status that says how it ended."""

from __future__ import annotations

import dataclasses
import importlib
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, TypeAlias

from nines.errors import NinesError, StorageError
from nines.folder_lock import lock_folder
from nines.run_folder import RunFolder, RunStatus, State
from nines.run_owner import Superseded, owns
from sweeps.trial import TrialJob

RunTrial: TypeAlias = Callable[[TrialJob], None]

FAILED, INTERRUPTED = 1, 130
# As sysexits.h has it: the failure is that of circumstances, and another attempt may do.
CIRCUMSTANCES = 75


def run_in_folder(job: TrialJob, run_trial: RunTrial, *, threads: int, lock_seconds: float) -> int:
    """Call `run_trial(job)` as the only process of this machine in the run folder.

    The status is closed only where `run_trial` did not do so itself, and not by a process that lost the folder.

    Args:
        job: The trial.
        run_trial: Trains it, and writes `status.json` and `metrics.json`.
        threads: Threads for arithmetic.
        lock_seconds: How long to wait for a former process that is just ending.

    Returns:
        The exit code: 0, `INTERRUPTED`, `CIRCUMSTANCES` when the folder could not be had, else `FAILED`.
    """
    folder = RunFolder(job.folder)
    try:
        lock = lock_folder(folder.path, wait_seconds=lock_seconds)
    except StorageError as error:
        complain(f"error: {error}")
        return CIRCUMSTANCES
    try:
        with lock:
            folder.clear_leftovers()
            set_threads(threads)
            run_trial(job)
    except KeyboardInterrupt:
        _close_status(folder, "interrupted", "interrupted")
        return INTERRUPTED
    except Superseded as error:
        complain(f"error: {error}")
        return CIRCUMSTANCES
    except NinesError as error:
        complain(f"error: {error}")
        interrupted = error.exit_code == INTERRUPTED
        _close_status(folder, "interrupted" if interrupted else "failed", str(error).splitlines()[0])
        return INTERRUPTED if interrupted else FAILED
    except Exception as error:
        traceback.print_exc()
        _close_status(folder, "failed", first_line(error))
        return FAILED
    return 0


def first_line(error: BaseException) -> str:
    """The class of `error` and the first line of what it says."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0] if text else ''}"


def complain(line: str) -> None:
    """A line on standard error, which is the trial's log."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def set_threads(threads: int) -> None:
    """Have arithmetic use `threads` threads, in libraries that are loaded and in those that will be."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
    # Torch reads the variables when it is imported, which the worker may have done; it is not imported for this.
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(threads)


def load(name: str) -> Callable[..., Any]:
    """The function that `module:function` names."""
    module, _, attribute = name.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    return function


def _close_status(folder: RunFolder, state: State, message: str) -> None:
    if not owns(folder.path):
        return
    status = RunStatus.read(folder) or RunStatus(state)
    if status.state not in ("failed", "interrupted") or not status.message:
        dataclasses.replace(status, state=state, message=message, updated=time.time()).write(folder)
