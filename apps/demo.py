"""`nines demo`: from labels to a distilled policy, stage by stage, and a report of what it came to."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from apps.config import compose, differences_from_defaults
from apps.printed_commands import printed
from apps.weights import fetch_missing
from nines import stop_requests
from nines.errors import ConfigError, NinesError
from nines.files import require_writable, write_text
from nines.folder_lock import lock_folder
from nines.run_folder import run_name

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from apps.pipeline.context import Context
    from apps.pipeline.stages import Stage, Unfinished

# Keys that say where and how the pipeline runs, not what it computes.
NOT_IDENTITY = ("runs", "threads")
LOCK_SECONDS = 5.0
OVERRIDES = "overrides.yaml"


class Stopped(NinesError):
    """The pipeline was asked to stop; what is done stays done."""

    exit_code = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the one option beside overrides and configuration."""
    parser.add_argument("--plan", action="store_true", help="print the stages with their budget, and stop")
    parser.set_defaults(command="demo")


def run(arguments: argparse.Namespace) -> int:
    """Do what is not done yet, then print the table and write the report."""
    with stop_requests.listening():  # before the imports, which take seconds
        return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    from omegaconf import OmegaConf

    from apps.pipeline.plan import plan_stages, plan_trainings
    from apps.pipeline.presentation import present
    from apps.pipeline.stages import Unfinished, run_stages

    context = context_of(arguments.overrides, config_dir=arguments.config_dir)
    runs = plan_trainings(context)
    stages = plan_stages(context, runs)
    print(f"demo in {context.root}", file=sys.stderr)
    print(budget(stages, context.root), file=sys.stderr)
    if arguments.plan:
        return 0
    require_writable(context.root, key="runs")
    started = time.monotonic()
    with lock_folder(context.root, wait_seconds=LOCK_SECONDS):
        write_text(context.root / OVERRIDES, OmegaConf.to_yaml(OmegaConf.create(list(arguments.overrides))))
        # Before the first stage: a machine without a network must not find out after half an hour.
        fetch_missing(run.config.module.model.source for run in runs.values())
        try:
            records = run_stages(stages, context.root, say=_say)
        except Unfinished as unfinished:
            _say(how_to_go_on(unfinished, printed("demo", *arguments.overrides, config_dir=arguments.config_dir)))
            cause = cause_of(unfinished)
            raise cause from cause.__cause__  # not from itself: whoever follows its causes would never end
        present(context, stages, records, seconds=time.monotonic() - started)
    return 0


def context_of(overrides: Sequence[str], *, config_dir: Path | None = None) -> Context:
    """The settings and the folder that `overrides` mean.

    Raises:
        ConfigError: They do not fit.
    """
    from hydra.utils import instantiate

    from apps.pipeline.context import Context
    from apps.validation import validate

    config = compose("demo", overrides, config_dir=config_dir)
    validate(config, root="demo")
    options = instantiate(config.demo, _convert_="all")
    return Context(
        options=options,
        root=folder_of(config),
        seed=config.seed,
        threads=config.threads,
        device=config.device,
        config_dir=config_dir,
    )


def folder_of(config: DictConfig) -> Path:
    """Where the pipeline of this configuration lies: the name of its size, and a hash of what differs from that."""
    size = str(config.demo.size)
    seconds = [f"demo.trainings.{name}.seconds" for name in config.demo.trainings if not name.startswith("_")]
    seconds += [f"demo.{part}.seconds" for part in ("base_completions", "filter", "comparison")]
    ignored = (*NOT_IDENTITY, *seconds)
    try:
        found = differences_from_defaults(config, "demo", ignore=ignored, among=[f"demo={size}"])
    except ConfigError:  # settings of the user's own, which have no shipped defaults
        found = differences_from_defaults(config, "demo", ignore=ignored)
    return (Path(config.runs) / "demo" / run_name(size, found)).absolute()


def budget(stages: Sequence[Stage], root: Path) -> str:
    """One line for each stage: what it does, how long that is expected to take, and what is done already."""
    from apps.pipeline.stages import duration, fingerprints, is_done

    marks = fingerprints(stages)
    done = {stage.name: is_done(stage, root, fingerprint=marks[stage.name]) for stage in stages}
    lines = [
        f"  {stage.name:<19} {stage.purpose:<66} {'done' if done[stage.name] else duration(stage.seconds):>10}"
        for stage in stages
    ]
    left = sum(stage.seconds for stage in stages if not done[stage.name])
    return "\n".join([*lines, f"  expected on 2 idle cores: {duration(left)}"])


def how_to_go_on(unfinished: Unfinished, command: str) -> str:
    """What a person reads below a stage that stopped."""
    name = unfinished.stage.name
    return f"the stage {name} is unfinished; what is done is kept, and this goes on from there: {command}"


def cause_of(unfinished: Unfinished) -> BaseException:
    """What ended the stage, for the exit code and the line that the command prints."""
    from apps.pipeline.stages import StopAsked

    cause = unfinished.__cause__
    assert cause is not None
    return Stopped(f"stopped by {cause}") if isinstance(cause, StopAsked) else cause


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
