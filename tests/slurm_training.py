"""A training in milliseconds for tests on SLURM: obeys stop requests and owners as a real one does.

Overrides: `x` (best at 0.3), `steps`, `pause` (seconds a step), `save` (steps from one checkpoint to the next; each
when not given). Where `save` is larger than `steps`, it saves when a signal asks for it and at no other time.
"""

from __future__ import annotations

import dataclasses
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nines import stop_requests
from nines.errors import NinesError
from nines.files import read_json, write_json
from nines.run_folder import RunFolder, RunStatus
from nines.run_owner import ensure_owned
from nines.stop_requests import Stop
from sweeps.trial import TrialJob

STEPS = "steps.txt"
SAVES = "saves.txt"


class Interrupted(NinesError):
    """It was asked to stop."""

    exit_code = 130


@dataclasses.dataclass(frozen=True)
class Step:
    """One step: which, by whom, where, when."""

    step: int
    pid: int
    job: str
    restarts: int
    node: str
    time: float


@dataclasses.dataclass(frozen=True)
class Save:
    """One checkpoint: after which step, by whom, in which start of the job, and which signal asked ("" for none)."""

    step: int
    pid: int
    restarts: int
    cause: str


def run_trial(job: TrialJob) -> None:
    """Train; see the module."""
    options = dict(text.split("=", 1) for text in job.overrides)
    folder = RunFolder(job.folder)
    checkpoint = job.folder / "checkpoint.json"
    x, total = float(options["x"]), int(options.get("steps", "3"))
    every = int(options.get("save", "1"))
    value, step = 0.0, 0
    if checkpoint.exists():
        saved = read_json(checkpoint)
        value, step = saved["value"], saved["step"]
    RunStatus("running", step=step, total_steps=total).write(folder)
    while step < total:
        time.sleep(float(options.get("pause", "0.02")))
        ensure_owned(job.folder)
        step += 1
        value += (1 - (x - 0.3) ** 2) / total
        with (job.folder / STEPS).open("a", encoding="utf-8") as file:
            file.write(_line(step))
        asked = stop_requests.take()
        if asked is not None or step % every == 0:
            write_json(checkpoint, {"value": value, "step": step})
            with (job.folder / SAVES).open("a", encoding="utf-8") as file:
                cause = stop_requests.cause() if asked is not None else "-"
                file.write(f"{step} {os.getpid()} {_restarts()} {cause}\n")
        RunStatus("running", step=step, total_steps=total, objective=value, best_objective=value).write(folder)
        if asked is Stop.END:
            message = f"stopped by {stop_requests.cause()} at step {step}"
            RunStatus("interrupted", step=step, message=message).write(folder)
            raise Interrupted(message)
    write_json(folder.metrics, {"metrics": {"score": value, "cost": x}})
    RunStatus("completed", step=total, total_steps=total, objective=value).write(folder)


def _line(step: int) -> str:
    job = job_name(os.environ) or "-"
    return f"{step} {os.getpid()} {job} {_restarts()} {socket.gethostname()} {time.time()}\n"


def _restarts() -> str:
    return os.environ.get("SLURM_RESTART_COUNT") or "0"


def job_name(environ: Mapping[str, str]) -> str:
    """What `squeue` calls the job: `123_4` for a task of an array, whose plain id may also mean the whole array."""
    if "SLURM_ARRAY_JOB_ID" in environ:
        return f"{environ['SLURM_ARRAY_JOB_ID']}_{environ['SLURM_ARRAY_TASK_ID']}"
    return environ.get("SLURM_JOB_ID", "")


def steps_of(folder: Path) -> list[Step]:
    """The steps that a run made, over all its attempts, in their order."""
    path = folder / STEPS
    if not path.exists():
        return []
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        Step(int(step), int(pid), job, int(restarts), node, float(at)) for step, pid, job, restarts, node, at in lines
    ]


def saves_of(folder: Path) -> list[Save]:
    """The checkpoints that a run wrote, over all its attempts, in their order."""
    path = folder / SAVES
    if not path.exists():
        return []
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    return [Save(int(step), int(pid), int(restarts), cause.strip("-")) for step, pid, restarts, cause in lines]


class RankNodes:
    """A callback of real trainings: each rank writes down where it ran. Made lazily, for Lightning is heavy."""

    def __new__(cls) -> Any:
        import lightning as L

        class Written(L.Callback):
            def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
                write_json(
                    Path(trainer.default_root_dir) / f"rank-{trainer.global_rank}.json",
                    {"node": socket.gethostname(), "world": trainer.world_size, "pid": os.getpid()},
                )

        return Written()


class Pace:
    """A callback of real trainings: a fifth of a second a step, so that something can happen meanwhile."""

    def __new__(cls) -> Any:
        import lightning as L

        class Paced(L.Callback):
            def on_train_batch_start(self, *arguments: Any) -> None:
                time.sleep(0.2)

        return Paced()
