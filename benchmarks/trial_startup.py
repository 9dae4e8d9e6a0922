"""What a trial costs besides its steps: from the fork in a worker to the first training step, and from the last on.

    python -m benchmarks.trial_startup --rounds 5

A worker is set up as `nines sweep` does it: caches warm, heavy imports done. It then forks trials of the quick sweep
that end after a few steps. The first trial is left out, since it may fill caches. What each part takes is measured
inside the trial; parts that lie within another one are indented. Processor time is that of the trial's process alone,
which is the figure to trust on a machine that is shared.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L

from apps.preparation import prepare
from apps.sweep_options import read_request
from apps.train import preload, run_trial
from benchmarks.paired import machine, write_figures
from sweeps.life_cycle import Idle, finish, take
from sweeps.outcome import Outcome
from sweeps.study import create_study
from sweeps.trial import TrialJob
from sweeps.trial_process import start_trial

STAGES = "stages.json"
STEPS = 3
TARGET_SECONDS = 0.5

# Module, attribute and words for what is timed by itself; all of them are called before the first step.
PARTS = (
    ("sweeps.reporting", "TrialReporter", "open the study"),
    ("apps.train", "compose", "compose the configuration"),
    ("apps.training", "validate", "check it"),
    ("apps.training", "describe_environment", "describe the environment"),
    ("apps.training", "assemble", "build everything"),
    ("datamodules.completions", "read", "  read the rows"),
    ("lightning_modules.classifier", "build_pair_classifier", "  load the model"),
    ("datamodules.completions", "tokenise", "  open the tokens"),
    ("lightning_modules.classifier", "use_trunk_cache", "  open the trunk cache"),
)

# The same after the last step; validation with the best weights is what remains.
LAST_PARTS = (
    ("callbacks.reliability", "draw_all", "  lay figures out"),
    ("callbacks.reliability", "as_image", "  draw figures"),
    ("callbacks.reliability", "save_png", "  save figures"),
    ("callbacks.hyperparameter_table", "write_record", "  write the table's row"),
    ("lightning_modules.classifier", "classification_metrics", "  metrics"),
)

FIRST_STEP = "from the fork to the first step"

Stages = dict[str, tuple[float, float]]
"""Name to seconds by the wall clock and of processor time."""


class Recorder(L.Callback):
    """Notes when a trial reaches its first step, ends its last, and what single parts took."""

    def __init__(self, forked: float) -> None:
        self.forked = forked
        self.stages: Stages = {}
        self.last_step = (0.0, 0.0)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """The first step begins."""
        now = (time.monotonic() - self.forked, time.process_time())
        self.stages.setdefault(FIRST_STEP, now)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """The last step, if no other follows, has ended."""
        self.last_step = (time.monotonic(), time.process_time())

    def timed(self, name: str, function: Callable[..., Any], *, started: bool) -> Callable[..., Any]:
        """`function`, whose calls before the first step (or after it, if `started`) add up under `name`."""

        @functools.wraps(function, updated=())
        def call(*arguments: Any, **keywords: Any) -> Any:
            wall, processor = time.monotonic(), time.process_time()
            try:
                return function(*arguments, **keywords)
            finally:
                if (FIRST_STEP in self.stages) == started:
                    before = self.stages.get(name, (0.0, 0.0))
                    self.stages[name] = (
                        before[0] + time.monotonic() - wall,
                        before[1] + time.process_time() - processor,
                    )

        return call


def timed_trial(job: TrialJob, *, forked: float) -> None:
    """`apps.train.run_trial`, in the forked process, with its stages written to the run folder."""
    recorder = Recorder(forked)
    recorder.stages["fork"] = (time.monotonic() - forked, time.process_time())
    for parts, started in ((PARTS, False), (LAST_PARTS, True)):
        for module_name, attribute, name in parts:
            module = importlib.import_module(module_name)
            setattr(module, attribute, recorder.timed(name, getattr(module, attribute), started=started))
    training: Any = importlib.import_module("apps.training")
    training.assemble = functools.partial(training.assemble, extra=[recorder])
    run_trial(job)
    wall, processor = recorder.last_step
    recorder.stages["from the last step to the end"] = (time.monotonic() - wall, time.process_time() - processor)
    (job.folder / STAGES).write_text(json.dumps(recorder.stages), encoding="utf-8")


def measure(rounds: int, *, threads: int, overrides: list[str]) -> list[Stages]:
    """Fork `rounds` trials after one that warms up, one after the other."""
    results: list[Stages] = []
    with tempfile.TemporaryDirectory() as folder:
        words = ["sweep=quick", f"runs={folder}", f"trials={rounds + 1}", f"trainer.max_steps={STEPS}", *overrides]
        request = read_request(words)
        prepare(request.definition.train)
        preload()
        sweep = create_study(request.folder, request.definition)
        for number in range(rounds + 1):
            job = take(sweep)
            assert not isinstance(job, Idle)
            start = functools.partial(timed_trial, forked=time.monotonic())
            _, status = os.waitpid(start_trial(job, start, threads=threads), 0)
            if status != 0:
                raise SystemExit(f"the trial failed:\n{(job.folder / 'log.txt').read_text(encoding='utf-8')}")
            finish(sweep, job.number, Outcome("completed", values=(0.5,)))
            if number:
                results.append({name: (wall, cpu) for name, (wall, cpu) in _read(job.folder / STAGES).items()})
    return results


def _read(path: Path) -> dict[str, list[float]]:
    content: dict[str, list[float]] = json.loads(path.read_text(encoding="utf-8"))
    return content


def main(arguments: list[str] | None = None) -> None:
    """Measure and print the median of each stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="trials that are measured, after one to warm up (5)")
    parser.add_argument("--threads", type=int, default=1, help="threads of a trial (1, as with a worker for each core)")
    parser.add_argument("--json", type=Path, help="also write all figures here")
    parser.add_argument("overrides", nargs="*", help="of `nines sweep`, such as model=tiny")
    options = parser.parse_args(arguments)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    stages = measure(options.rounds, threads=options.threads, overrides=options.overrides)
    print(f"median of {options.rounds} trials on {machine()}; seconds by the wall clock and of processor time")
    for name in stages[0]:
        wall, processor = ([each[name][kind] for each in stages] for kind in (0, 1))
        print(
            f"  {name:<36} {statistics.median(wall):6.3f} {statistics.median(processor):6.3f}"
            f"   wall {min(wall):.3f} to {max(wall):.3f}"
        )
    whole = statistics.median(each[FIRST_STEP][1] for each in stages)
    print(f"start-up takes {whole:.2f} s of processor time; the target is {TARGET_SECONDS} s")
    write_figures(options.json, {"trials": stages})


if __name__ == "__main__":
    main()
