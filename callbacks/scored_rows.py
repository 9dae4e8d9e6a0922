"""What the callbacks that judge scores ask of the module and the data module: scores, labelled rows and texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast, runtime_checkable

import numpy as np
from lightning.pytorch import LightningModule, Trainer
from numpy.typing import NDArray

from nines.errors import ConfigError
from nines.statistics.labelled import LabelledRows

VALIDATION = "valid"


@runtime_checkable
class ScoringModule(Protocol):
    """A module that keeps the scores of its last evaluation."""

    def gathered_scores(self, split: str) -> NDArray[np.float64]:
        """P(injurious) of every row of `split`, `(n,)`, in the data module's order, on every rank."""


@runtime_checkable
class LabelledData(Protocol):
    """A data module that knows its evaluation rows."""

    def splits(self, stage: str) -> Sequence[str]:
        """Names of the splits that a stage (fit, validate, test) goes through."""

    def rows(self, split: str) -> LabelledRows:
        """The rows of a split."""

    def texts(self, split: str) -> list[tuple[str, str]]:
        """Prompt and completion of each row of a split."""


def labelled_data(trainer: Trainer) -> LabelledData:
    """The trainer's data module.

    Raises:
        ConfigError: The trainer has none, or one without labelled rows.
    """
    # Lightning's Trainer sets this attribute by its data connector and declares no type for it.
    data = getattr(trainer, "datamodule", None)
    if not isinstance(data, LabelledData):
        raise ConfigError(
            f"this callback needs a data module with rows(), texts() and splits(), got {type(data).__name__}; "
            "use datamodules.completions.LabelledCompletions or leave the callback out"
        )
    return data


def scored_rows(trainer: Trainer, pl_module: LightningModule, split: str) -> tuple[NDArray[np.float64], LabelledRows]:
    """Scores and rows of a split that has just been evaluated, both in the data module's order.

    Raises:
        ConfigError: The module keeps no scores, the trainer has no labelled data, or their numbers differ.
    """
    if not isinstance(pl_module, ScoringModule):
        raise ConfigError(
            f"this callback needs a module with gathered_scores(), {type(pl_module).__name__} has none; "
            "use lightning_modules.classifier.CompletionClassifier or leave the callback out"
        )
    rows = labelled_data(trainer).rows(split)
    scores = np.asarray(cast(ScoringModule, pl_module).gathered_scores(split), dtype=np.float64)
    if scores.shape != (len(rows),):
        raise ConfigError(f"split {split!r} has {len(rows)} rows but the module gathered scores of {scores.shape}")
    return scores, rows
