"""A training that takes milliseconds: real processes, a checkpoint after each step, an objective that is a parabola.

Overrides: `x` (best at 0.3), `steps`, `pause` (seconds a step), `mode` (how it ends). Of several ranks only rank 0
writes; the others last as long, and end with it.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from nines import stop_requests
from nines.errors import DataError
from nines.files import read_json, write_json
from nines.run_folder import RunFolder, RunStatus
from sweeps.rank import rank_number
from sweeps.reporting import TrialReporter
from sweeps.trial import TrialJob


def preload() -> None:
    """What a real worker spends seconds on."""
    sys.modules.setdefault("heavy_library_of_the_tests", sys)


def run_trial(job: TrialJob) -> None:
    """Train; see the module."""
    options = dict(text.split("=", 1) for text in job.overrides)
    if (rank := rank_number(os.environ)) > 0:
        follow(job, rank=rank, mode=options.get("mode", "normal"))
        return
    folder = RunFolder(job.folder)
    checkpoint = job.folder / "checkpoint.json"
    x, total = float(options["x"]), int(options.get("steps", "3"))
    seed = int(options.get("seed", "0"))
    mode = options.get("mode", "normal")
    print(f"overrides {' '.join(job.overrides)}")
    (job.folder / "loaded").write_text(str("heavy_library_of_the_tests" in sys.modules), encoding="utf-8")
    value, step = 0.0, 0
    if checkpoint.exists():
        saved = read_json(checkpoint)
        value, step = saved["value"], saved["step"]
    reporter = TrialReporter(job.storage, job.study, job.trial_id) if "report" in options else None
    while step < total:
        time.sleep(float(options.get("pause", "0.01")))
        step += 1
        value += (1 - (x - 0.3) ** 2 + 0.001 * seed) / total
        with (job.folder / "steps.txt").open("a", encoding="utf-8") as file:
            file.write(f"{step}\n")
        write_json(checkpoint, {"value": value, "step": step})
        RunStatus("running", step=step, total_steps=total, objective=value, best_objective=value).write(folder)
        if stop_requests.received() is stop_requests.Stop.END:
            raise KeyboardInterrupt
        if mode == "hang" or (mode == "rank_raises" and step == 2):
            time.sleep(60)
        if mode == "raise" and step == 2:
            raise ZeroDivisionError("the loss divided by nothing")
        if mode == "refuse":
            raise DataError("3 rows are broken", ["one", "two"])
        if mode == "killed_once" and not (job.folder / "killed").exists():
            (job.folder / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if mode == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if mode == "silent":
            return
        if reporter is not None and reporter.report(value * total / step, step):
            RunStatus("pruned", step=step, message=f"pruned at step {step}").write(folder)
            return
    metrics = {"score": value, "cost": x}
    if mode == "nan":
        metrics["score"] = float("nan")
    write_json(folder.metrics, {"metrics": metrics})
    for path in (folder.best, folder.config):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"x": x}), encoding="utf-8")
    with (job.folder / "completions.txt").open("a", encoding="utf-8") as file:
        file.write(f"{job.number}\n")
    RunStatus("completed", step=total, total_steps=total, objective=value).write(folder)


def follow(job: TrialJob, *, rank: int, mode: str) -> None:
    """What the other ranks do: they are there until rank 0 has ended."""
    write_json(job.folder / f"rank-{rank}.json", {"pid": os.getpid(), "variables": dict(os.environ)})
    if mode == "rank_raises":
        raise ZeroDivisionError("only this rank divided by nothing")
    while (status := RunStatus.read(RunFolder(job.folder))) is None or status.state in ("starting", "running"):
        time.sleep(0.02)


def steps_of(folder: Path) -> list[int]:
    """The steps that a run made, over all its attempts."""
    return [int(line) for line in (folder / "steps.txt").read_text(encoding="utf-8").split()]


def completions_of(folder: Path) -> int:
    """How often a run completed."""
    path = folder / "completions.txt"
    return len(path.read_text(encoding="utf-8").split()) if path.exists() else 0
