"""How a trial ended, read from what its process left in the run folder."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import signal
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from nines.files import read_json
from nines.run_folder import RunFolder, RunStatus
from sweeps.definition import Objective

End: TypeAlias = Literal["completed", "pruned", "failed", "interrupted"]

LOG_LINES = 30
SIGNALLED, KILL, INTERRUPTED = 128, 9, 130
# How a rank words that another one is gone. Its own parameters have no part in that.
LOST_PEER = re.compile(
    r"NCCL|Gloo|gloo|Dist(Backend|Network|Store)Error|Connection (closed|reset) by peer|Broken pipe|EADDRINUSE"
)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    Attributes:
        state: `interrupted` trials go on from their last checkpoint when the sweep is started again.
        values: The objectives in the order of the definition, when completed.
        metrics: All final figures, when completed.
        reason: One line for a person.
        retry: Whether the failure was that of a process, which says nothing of the parameters, so that it is worth
            another attempt; an exception of the training code would come again.
        log_tail: Last lines of the log, when failed.
    """

    state: End
    values: tuple[float, ...] = ()
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)
    reason: str = ""
    retry: bool = False
    log_tail: tuple[str, ...] = ()


def read_outcome(
    folder: RunFolder, objectives: Sequence[Objective], *, exit_code: int | None = None, stopping: bool = False
) -> Outcome:
    """What became of the run in `folder`.

    Args:
        folder: The run folder.
        objectives: The metrics that a completed run must have.
        exit_code: As `os.waitstatus_to_exitcode` gives it (negative for a signal) or as srun does (128 more than the
            signal, or 9); None when nobody saw it end.
        stopping: Whether the sweep was asked to stop, so that an early end of the trial is no failure.
    """
    status = RunStatus.read(folder)
    state = status.state if status is not None else "starting"
    message = status.message if status is not None else ""
    if state == "completed":
        return _completed(folder, objectives)
    if state == "pruned":
        return Outcome("pruned", reason=message or "pruned")
    if state == "interrupted" or (stopping and exit_code is not None and exit_code != 0 and state != "failed"):
        return Outcome("interrupted", reason=message or "interrupted")
    tail = log_tail(folder)
    if (number := _killed_by(exit_code)) is not None:
        reason = f"its process was killed by {_signal_name(number)}"
        return Outcome("failed", reason=reason, retry=True, log_tail=tail)
    if state == "failed":
        lost_peer = LOST_PEER.search(message) is not None
        return Outcome("failed", reason=message or (tail[-1] if tail else "failed"), retry=lost_peer, log_tail=tail)
    reason = f"its process ended with exit code {exit_code} and state {state!r}"
    # Code 0 without an end is the training code's own mistake, which would come again.
    return Outcome("failed", reason=reason, retry=exit_code not in (0, None), log_tail=tail)


def _killed_by(exit_code: int | None) -> int | None:
    """The signal that ended the process, None when none did."""
    if exit_code is None:
        return None
    if exit_code < 0:
        return -exit_code
    if exit_code > SIGNALLED and exit_code != INTERRUPTED:
        return exit_code - SIGNALLED
    return KILL if exit_code == KILL else None


def log_tail(folder: RunFolder, lines: int = LOG_LINES) -> tuple[str, ...]:
    """The last `lines` lines of the run's log."""
    if not folder.log.exists():
        return ()
    with folder.log.open(encoding="utf-8", errors="replace", newline="\n") as file:
        # A progress bar rewrites its line with carriage returns; only its last state is worth keeping.
        return tuple(line.rstrip("\n").rsplit("\r", 1)[-1][:500] for line in deque(file, maxlen=lines))


def _completed(folder: RunFolder, objectives: Sequence[Objective]) -> Outcome:
    try:
        metrics: dict[str, Any] = read_json(folder.metrics)["metrics"]
    except (OSError, KeyError, json.JSONDecodeError) as error:
        reason = f"it completed, but its metrics.json cannot be read: {error!r}"
        return Outcome("failed", reason=reason, log_tail=log_tail(folder))
    figures = {
        name: float(value) for name, value in metrics.items() if isinstance(value, int | float) and math.isfinite(value)
    }
    missing = [objective.metric for objective in objectives if objective.metric not in figures]
    if missing:
        reason = f"it completed without a finite value of {', '.join(missing)}"
        return Outcome("failed", reason=reason, log_tail=log_tail(folder))
    return Outcome("completed", tuple(figures[objective.metric] for objective in objectives), figures)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
