"""The trainings of the pipeline: each is a run of `nines train` in the folder of its stage, and resumes as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.config import compose, flatten
from apps.pipeline.options import Training
from apps.train import LOCK_SECONDS, NOT_IDENTITY
from nines.errors import ConfigError
from nines.files import read_json
from nines.folder_lock import lock_folder
from nines.run_folder import RunFolder, RunStatus
from sweeps.grammar import override_text

if TYPE_CHECKING:
    from omegaconf import DictConfig


@dataclass(frozen=True)
class PlannedRun:
    """A run before it is begun.

    Attributes:
        config: The whole configuration.
        words: The overrides that it came from.
        identity: What decides on its result besides the stages before it: no folder of theirs is named.
    """

    config: DictConfig
    words: list[str]
    identity: dict[str, Any]


def plan_run(
    training: Training,
    *,
    given: Mapping[str, Any],
    made: Mapping[str, Any] | None = None,
    seed: int,
    threads: int | None,
    config_dir: Path | None = None,
) -> PlannedRun:
    """Compose and check the configuration of a training.

    Args:
        training: Its overrides.
        given: Keys that the pipeline itself sets.
        made: Keys that it sets to what the stages before make: their folders are no part of the run's identity.
        seed: Of the pipeline.
        threads: CPU threads of torch; None leaves torch's own choice.
        config_dir: A YAML tree of the user's own.

    Raises:
        ConfigError: The overrides do not fit.
    """
    from apps.validation import validate

    made = made or {}
    values = {"seed": seed + training.seed, **given, **made}
    words = [*training.train, *(f"{key}={override_text(value)}" for key, value in values.items()), *training.more]
    words += [] if threads is None else [f"threads={threads}"]
    config = compose("train", words, config_dir=config_dir)
    validate(config)
    ignored = (*NOT_IDENTITY, "threads", *made)
    identity = {
        key: value
        for key, value in flatten(config).items()
        if not any(key == skipped or key.startswith(f"{skipped}.") for skipped in ignored)
    }
    return PlannedRun(config, words, identity)


def train_in(run: PlannedRun, folder: Path) -> dict[str, Any]:
    """Train, or go on with what `folder` holds; the final metrics.

    Raises:
        NinesError: What `apps.training.train` raises.
    """
    from apps.training import train

    target = RunFolder(folder)
    status = RunStatus.read(target)
    # A process that was killed between the end of the run and the record of the stage left a complete run.
    if status is None or status.state != "completed":
        with lock_folder(folder, wait_seconds=LOCK_SECONDS):
            target.clear_leftovers()
            train(run.config, folder=target, overrides=run.words)
    return metrics_of(folder)


def metrics_of(folder: Path) -> dict[str, Any]:
    """The figures of a run that is over; nothing where it wrote none."""
    path = RunFolder(folder).metrics
    found: dict[str, Any] = read_json(path)["metrics"] if path.exists() else {}
    return found


@dataclass(frozen=True)
class TrainedOn:
    """What a run trains on.

    Attributes:
        rows: How many labelled completions, comparisons, texts or prompts.
        prompts: The text of every prompt among them, each once.
    """

    rows: int
    prompts: list[str]


def trained_on(run: PlannedRun) -> TrainedOn:
    """What the data module of `run` gives for training: read from itself, whatever the overrides say.

    Raises:
        ConfigError: The data module does not say which prompts it trains on.
    """
    from hydra.utils import instantiate

    data = instantiate(run.config.datamodule, _convert_="all")
    for name in ("completions", "comparisons", "stories", "prompts"):
        if hasattr(data, name):
            rows: Sequence[Any] = getattr(data, name)("train")
            texts = (row.text if name == "prompts" else row.prompt for row in rows)
            return TrainedOn(len(rows), list(dict.fromkeys(texts)))
    raise ConfigError(f"{type(data).__name__} does not say which prompts it trains on, as the pipeline must know")
