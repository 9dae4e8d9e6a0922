"""What the trials of the chaos run write down of themselves: each step, each save, and where each attempt began.

This is the witness that the verdict is built on, so it uses nothing of what it watches over: it neither reads
checkpoints nor the status, only Lightning's hooks and the directory entry of `last.ckpt`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import time
import uuid
from pathlib import Path
from typing import Any, Literal

import lightning as L

from slurm.current import CurrentJob

TRACE = "trace.jsonl"
LAST = Path("checkpoints") / "last.ckpt"

Kind = Literal["start", "step", "save", "end"]


@dataclasses.dataclass(frozen=True)
class Event:
    """One line of a trace.

    Attributes:
        kind: `start` of training in a process, a `step` done, a `save` begun, the `end` of training.
        step: Optimizer steps done then, over all attempts.
        attempt: Identifies the process.
        checkpoint: Which file `last.ckpt` was then (a replaced one is another), empty while there was none.
        time: Seconds since the epoch.
        job: SLURM's job as squeue shows it, `7_0` for a task of an array; empty outside.
        restarts: How often the job had been requeued.
        host: The machine.
        pid: The process.
    """

    kind: Kind
    step: int
    attempt: str
    checkpoint: str
    time: float = 0.0
    job: str = ""
    host: str = ""
    pid: int = 0
    restarts: int = 0


class Trace(L.Callback):
    """Appends a line to `trace.jsonl` of the run folder at each event, on rank 0."""

    def __init__(self) -> None:
        self.attempt = uuid.uuid4().hex[:8]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """A process begins, or goes on, at the step that its checkpoint holds."""
        self._note("start", trainer)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """A step is done; what was saved before it has reached the disk."""
        self._note("step", trainer)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """A save begins."""
        self._note("save", trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The last step is done."""
        self._note("end", trainer)

    def _note(self, kind: Kind, trainer: L.Trainer) -> None:
        if not trainer.is_global_zero:
            return
        folder = Path(trainer.default_root_dir)
        job = CurrentJob.from_environment()
        event = Event(
            kind,
            trainer.global_step,
            self.attempt,
            identity(folder / LAST),
            time.time(),
            job.id if job is not None else "",
            socket.gethostname(),
            os.getpid(),
            job.restarts if job is not None else 0,
        )
        # One write to a file opened for appending: lines of two processes never mix.
        descriptor = os.open(folder / TRACE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(descriptor, (json.dumps(dataclasses.asdict(event)) + "\n").encode())
        finally:
            os.close(descriptor)


def identity(path: Path) -> str:
    """Tells a file from the one that replaces it under the same name; empty where there is none."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return ""
    return f"{found.st_ino}-{found.st_mtime_ns}"


def read_trace(folder: Path) -> list[Event]:
    """The events of a run folder in the order in which they were written; none where no attempt came so far."""
    path = folder / TRACE
    if not path.exists():
        return []
    with path.open(encoding="utf-8") as file:
        # A process killed while it wrote may leave a last line without an end.
        return [Event(**json.loads(line)) for line in file if line.endswith("\n")]
