"""Records a run's hyperparameters with its final figures, so that TensorBoard's HParams page compares runs.

The record lies in an event folder of its own (`<log folder>/final`) and carries no experiment summary. Lightning's
`log_hyperparams(params, metrics)` writes one into every run, and TensorBoard then takes its columns from the first run
that it finds: parameters that exist only under another choice (the gamma of the focal loss) would never be shown.
Without it TensorBoard shows the parameters of all runs, and as metrics just those of the `final` folders; the figures
also stay out of the curves of the run, whose last point is the last validation and not the best checkpoint.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from nines.files import read_json
from nines.run_folder import RunFolder

logger = logging.getLogger(__name__)

Scalar = bool | int | float | str

# Parallel coordinates with fifty axes say nothing: the objectives that a sweep may optimise, and the misses.
DEFAULT_METRICS = (
    *(f"{split}/{name}" for split in ("valid", "test") for name in ("partial_auc", "average_precision", "log_loss")),
    *(f"{split}/auroc" for split in ("valid", "test")),
    *(f"{split}/{name}" for split in ("valid", "test") for name in ("natural/fnr", "natural/fnr_upper", "all/fnr")),
)


def flatten_scalars(parameters: Mapping[str, Any], prefix: str = "") -> dict[str, Scalar]:
    """Nested parameters under dotted names; only plain scalars and strings, since a table cell can hold no more.

    >>> flatten_scalars({"optimizer": {"lr": 0.001, "betas": [0.9, 0.99]}, "seed": 3, "resume": None})
    {'optimizer.lr': 0.001, 'seed': 3}
    """
    return dict(_walk(parameters, prefix))


def _walk(parameters: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Scalar]]:
    for name, value in parameters.items():
        if isinstance(value, Mapping):
            yield from _walk(value, f"{prefix}{name}.")
        elif isinstance(value, bool | int | float | str):
            yield f"{prefix}{name}", value


def final_metrics(folder: RunFolder) -> dict[str, float]:
    """The figures under key `metrics` of the run's metrics file; empty when the run has written none."""
    if not folder.metrics.exists():
        return {}
    content = read_json(folder.metrics)
    figures = content.get("metrics", {}) if isinstance(content, Mapping) else {}
    return {name: float(value) for name, value in figures.items() if isinstance(value, int | float)}


def write_record(
    folder: Path, parameters: Mapping[str, Any], *, metrics: Mapping[str, float], step: int
) -> dict[str, float]:
    """Write the one record of a run, replacing an earlier one (a run that was resumed, or tested after it was fitted).

    Args:
        folder: Event folder that holds nothing but the record.
        parameters: Hyperparameters, nested or flat.
        metrics: Final figures by tag; those that are not finite are left out, as no axis can show them.
        step: Optimizer steps of the run.

    Returns:
        The figures that were written; nothing is written when there are none, since TensorBoard shows no such row.
    """
    finite = {name: value for name, value in sorted(metrics.items()) if math.isfinite(value)}
    if not finite:
        return {}
    for stale in folder.glob("events.out.tfevents.*"):
        stale.unlink()
    _, start, end = hparams(flatten_scalars(parameters), finite)  # type: ignore[no-untyped-call]
    with SummaryWriter(str(folder)) as writer:
        writer.file_writer.add_summary(start, step)
        for name, value in finite.items():
            writer.add_scalar(name, value, step)
        writer.file_writer.add_summary(end, step)
    return finite


class HyperparameterTable(Callback):
    """Writes the record when the run ends: after the test, and before it in case no test happens.

    Figures come from `trainer.callback_metrics` of fitting and testing; those in the run folder's metrics file, where
    there is one, take precedence, because they belong to the best checkpoint.

    Args:
        parameters: Hyperparameters, nested or flat; only scalars and strings are kept, under dotted names.
        metrics: Tags to record, as shell patterns in which `*` also matches a slash.
    """

    def __init__(self, parameters: Mapping[str, Any], *, metrics: Sequence[str] = DEFAULT_METRICS) -> None:
        self.parameters = flatten_scalars(parameters)
        self.patterns = tuple(metrics)
        self._seen: dict[str, float] = {}
        self._failed = False

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the record with the figures of the test."""
        self._write(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Remember that the run has no final figures: an interrupted run is no row of the table."""
        self._failed = True

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the record after fitting, and anew after a validation of the best weights or a test."""
        if stage in {"fit", "validate"} and not self._failed:
            self._write(trainer)

    def _write(self, trainer: Trainer) -> None:
        if not trainer.is_global_zero or trainer.sanity_checking:
            return
        # Lightning forgets the figures of fitting when the test starts.
        self._seen.update({name: float(value) for name, value in trainer.callback_metrics.items()})
        figures = {**self._seen, **final_metrics(RunFolder(Path(trainer.default_root_dir)))}
        chosen = {name: value for name, value in figures.items() if self._wanted(name)}
        for each in trainer.loggers:
            if isinstance(each, TensorBoardLogger) and not write_record(
                Path(each.log_dir) / "final", self.parameters, metrics=chosen, step=trainer.global_step
            ):
                logger.warning(
                    "no final figure to compare this run by: none of %s was logged", ", ".join(self.patterns)
                )

    def _wanted(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.patterns)
