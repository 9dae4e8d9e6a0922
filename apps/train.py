"""`nines train`: one run in its run folder; the same command again resumes it. Also runs the trials of a sweep."""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.config import compose, config_tree, differences_from_defaults
from apps.help import groups_of, selected
from apps.launcher import plain, read_launcher, without_launcher
from nines import stop_requests
from nines.errors import ConfigError, UserError
from nines.files import require_writable
from nines.folder_lock import lock_folder
from nines.run_folder import RunFolder, RunStatus, run_name

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from slurm.options import SlurmOptions
    from sweeps.trial import TrialJob

# Keys that say where or how a run is executed, not what it computes.
NOT_IDENTITY = (
    *("runs", "resume", "name", "logger", "launcher"),
    *("trainer.enable_progress_bar", "trainer.log_every_n_steps"),
)


# What a resumed run may change: how long and how it runs, not what it computes.
RESUMABLE = ("trainer.", "callbacks.", "logger.", "launcher", "threads", "test", "runs", "resume")
# The process before may still be ending: Ctrl-C and the same command again come within a second.
LOCK_SECONDS = 5.0
JOB_LOCK_SECONDS = 300.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the one option beside overrides and configuration."""
    parser.add_argument("--dry-run", action="store_true", help="launcher=slurm: print the batch script and stop")
    parser.set_defaults(command="train")


def run(arguments: argparse.Namespace) -> int:
    """Train, or resume, and print where everything is."""
    with stop_requests.listening():  # before the imports, which take seconds
        return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    config, folder, overrides = plan(arguments.overrides, config_dir=arguments.config_dir)
    status = RunStatus.read(folder)
    launcher = read_launcher(plain(config.get("launcher")))
    if arguments.dry_run and launcher is None:
        raise UserError("--dry-run prints the script of launcher=slurm; `--cfg job` prints the configuration")
    words = without_launcher(arguments.overrides)
    goes_further = len(words) > 1 and any(word.startswith("resume=") for word in words)
    if status is not None and status.state == "completed" and not goes_further:
        if _speaks():
            print(f"{folder.path} is complete; remove the folder to train it again")
            _print_results(folder)
        return 0
    if _speaks() and not arguments.dry_run:
        require_writable(folder.path, key="resume" if config.resume else "runs")
    if launcher is not None:
        return _submit(arguments, config, folder, launcher, overrides=overrides)
    from apps.local_run import only_here
    from apps.training import resolve_precision, train
    from apps.validation import validate

    # Before anything is written: a mistake leaves no folder behind.
    resolve_precision(config)
    validate(config)
    with ExitStack() as held:
        if _speaks():
            # In a job, ranks of before a requeue may be inside one long validation until they are killed.
            seconds = JOB_LOCK_SECONDS if "SLURM_STEP_ID" in os.environ else LOCK_SECONDS
            held.enter_context(lock_folder(folder.path, wait_seconds=seconds))
            held.enter_context(only_here(folder))
            folder.clear_leftovers()
            start = (
                f"resuming {folder.path} from {folder.last}" if folder.last.exists() else f"training in {folder.path}"
            )
            print(start, file=sys.stderr)
        started = time.monotonic()
        train(config, folder=folder, overrides=without_launcher(overrides))
    if _speaks():
        print(f"done in {time.monotonic() - started:.0f} s", file=sys.stderr)
        _print_results(folder)
    return 0


def _submit(
    arguments: argparse.Namespace,
    config: DictConfig,
    folder: RunFolder,
    launcher: SlurmOptions,
    *,
    overrides: Sequence[str],
) -> int:
    """Hand the run to SLURM, after its configuration was checked and what it needs lies in the caches."""
    from apps.submission import check_and_prepare, require_slurm, warn_of_changes, warn_of_python
    from apps.submission_signals import ended_by_signals
    from apps.train_slurm import RunJob, is_there, print_script, submit

    job = RunJob.of(config, folder, launcher, overrides=arguments.overrides, config_dir=arguments.config_dir)
    if arguments.dry_run:
        return print_script(job)
    require_slurm()
    with ended_by_signals() as signals:
        if is_there(job):
            return 0
        warn_of_changes(launcher)
        warn_of_python(launcher)
        check_and_prepare(overrides, config_dir=arguments.config_dir)
        with signals.handing_over():
            return submit(job)


def _speaks() -> bool:
    """Whether this process is the one of its ranks that prints; launchers tell the rank by the environment."""
    told = (os.environ.get(name) for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))
    return int(next((rank for rank in told if rank), "0")) == 0


def plan(overrides: Sequence[str], *, config_dir: Path | None = None) -> tuple[DictConfig, RunFolder, list[str]]:
    """The configuration and run folder that `overrides` mean.

    With `resume=<folder>` the overrides kept in that folder come first, so that `nines train resume=<folder>` alone
    goes on as before.

    Returns:
        The configuration, the run folder, and all overrides that led to it.

    Raises:
        ConfigError: The configuration cannot be composed, or the folder to resume holds no run.
    """
    overrides = list(overrides)
    config = compose("train", overrides, config_dir=config_dir)
    if config.resume is None:
        differences = _differences(config, overrides, config_dir=config_dir)
        path = Path(config.runs) / "train" / run_name(config.name, differences)
        return config, RunFolder(path.absolute()), overrides
    folder = RunFolder(Path(config.resume).absolute())
    if not folder.overrides.exists():
        raise ConfigError(f"resume={config.resume} holds no run: {folder.overrides.name} is missing there")
    from omegaconf import OmegaConf

    kept = [str(override) for override in OmegaConf.load(folder.overrides)]
    new = [override for override in overrides if not override.startswith("resume=")]
    resumed = compose("train", [*kept, *new], config_dir=config_dir)
    if new:
        _refuse_other_run(compose("train", kept, config_dir=config_dir), resumed, folder)
    return resumed, folder, [*kept, *new]


def _differences(config: DictConfig, overrides: Sequence[str], *, config_dir: Path | None) -> dict[str, Any]:
    """What makes this run another one than the defaults of its module; the name has no part of other modules."""
    with config_tree(config_dir) as tree:
        groups = {group.name: group for group in groups_of("train", folder=tree)}
    chosen = selected(overrides).get("module", groups["module"].default)
    if chosen == groups["module"].default or not any(choice.name == chosen for choice in groups["module"].choices):
        return differences_from_defaults(config, "train", ignore=NOT_IDENTITY)
    among = [f"module={chosen}"]
    try:
        found = differences_from_defaults(config, "train", ignore=NOT_IDENTITY, among=among)
    except ConfigError:  # a module of the user's own, which has no shipped defaults
        return differences_from_defaults(config, "train", ignore=NOT_IDENTITY)
    return {**found, "module": chosen}


def _refuse_other_run(before: DictConfig, after: DictConfig, folder: RunFolder) -> None:
    """A resumed run takes learning rate, data and weights from its checkpoint, so a change would be recorded, not made.

    Raises:
        ConfigError: Something besides the trainer, the callbacks and the logger changes.
    """
    from apps.config import flatten

    old, new = flatten(before), flatten(after)
    changed = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    refused = [key for key in changed if not key.startswith(RESUMABLE)]
    # After `nines checkpoint reshard` the ranks take other shares of the same steps.
    if (rows := _rows_a_step(old)) is not None and rows == _rows_a_step(new):
        refused = [key for key in refused if key != "datamodule.batch_size"]
    if refused:
        raise ConfigError(
            f"resume={folder.path} goes on with the run as it was, and {', '.join(refused)} would make it another one; "
            f"leave that out of the resume, or start a new run with it (only {', '.join(RESUMABLE)} may change)"
        )


def _rows_a_step(flat: Mapping[str, Any]) -> int | None:
    """Rows that all ranks together take in one batch; None where the configuration leaves the ranks to the machine."""
    factors = (flat.get("datamodule.batch_size"), flat.get("trainer.devices"), flat.get("trainer.num_nodes", 1))
    return math.prod(factors) if all(isinstance(factor, int) for factor in factors) else None


def _print_results(folder: RunFolder) -> None:
    """The headline figures, and the commands that look further."""
    from nines.files import read_json

    metrics = read_json(folder.metrics)["metrics"] if folder.metrics.exists() else {}
    for name in HEADLINES:
        if name in metrics:
            print(f"  {name:<36} {metrics[name]:.4f}")
    print(f"  everything of this run               {folder.path}")
    print(f"  look at its curves                   nines tensorboard {folder.path}")
    if (folder.path / "model").is_dir():
        print(f"  the model as a folder                path:{folder.path / 'model'}")
    if "valid/auroc" in metrics:  # a classifier; `nines predict` takes it also without a threshold
        print(f"  score your own pairs                 nines predict {folder.path} pairs.jsonl")


HEADLINES = (
    "valid/perplexity",
    "test/perplexity",
    "valid/partial_auc",
    "valid/auroc",
    "valid/average_precision",
    "test/auroc",
    "test/average_precision",
    "test/natural/fnr",
    "test/natural/fnr_upper",
    "test/natural/fnr_unsure_as_injurious",
    "test/natural/fpr",
)


def preload() -> None:
    """Import what a trial needs, once, in the worker that forks a process for each; starts no thread."""
    import apps.training  # noqa: F401


def run_trial(job: TrialJob) -> None:
    """Train the trial of a sweep in this process; its state and figures go into the trial's run folder.

    Raises:
        NinesError: What `apps.training.train` raises, after the state was written.
    """
    from apps.training import train
    from callbacks.trial_reporting import Pruned
    from sweeps.reporting import TrialReporter

    config = compose("train", job.overrides)
    reporter = TrialReporter(storage=job.storage, study=job.study, trial_id=job.trial_id)
    try:
        train(config, folder=RunFolder(job.folder), overrides=job.overrides, reporter=reporter)
    except Pruned as pruned:
        print(pruned)
