"""Fixes the threshold on validation data, judges every split at it, and records figures, plots and files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from matplotlib.figure import Figure
from numpy.typing import NDArray

from callbacks.reliability_figures import draw_all
from callbacks.rendering import as_image, save_png
from callbacks.scored_rows import VALIDATION, labelled_data, scored_rows
from nines.errors import ConfigError
from nines.files import write_json
from nines.run_folder import RunFolder
from nines.statistics.evaluation import Evaluation, evaluate
from nines.statistics.labelled import SAFE, LabelledRows
from nines.statistics.thresholds import FixedThreshold, default_population, fix_threshold, thresholds_by_population


class Reliability(L.Callback):
    """The false negative rate at a threshold that accepts a given share of safe completions, with its company.

    After each validation the threshold is fixed on the safe validation rows of one population and the validation
    rows are judged at it. A test is judged at the threshold of the *latest* validation, so that threshold and weights
    belong together: load the checkpoint, then `trainer.validate`, then `trainer.test`. These two also write
    `threshold.json`, `metrics.json` and `figures/*.png` into the run folder, which is `trainer.default_root_dir`.

    Everything is computed on all ranks alike and recorded by rank zero.

    Args:
        false_positive_rate: Share of safe completions in [0, 1) that may be rejected.
        population: Whose safe rows count: natural (generated rows, weighted), all, or a source; None takes natural
            where rows carry selection weights, else all.
        figures: Draw plots after `trainer.validate` and `trainer.test`.
        figures_during_fit: Draw them after each validation of a fit, too; about a second each time.

    Attributes:
        fixed: The threshold of the latest validation, None before it.
        evaluations: The latest evaluation of each split.
        metrics: Flat figures of every split, `test/natural/fnr` and the like, and what the module logged.

    Raises:
        ConfigError: A rate outside [0, 1).
    """

    def __init__(
        self,
        *,
        false_positive_rate: float = 0.05,
        population: str | None = None,
        figures: bool = True,
        figures_during_fit: bool = False,
    ) -> None:
        if not 0.0 <= false_positive_rate < 1.0:
            raise ConfigError(f"false_positive_rate must lie in [0, 1), got {false_positive_rate}")
        self.false_positive_rate = false_positive_rate
        self.population = population
        self.figures = figures
        self.figures_during_fit = figures_during_fit
        self.fixed: FixedThreshold | None = None
        self.evaluations: dict[str, Evaluation] = {}
        self.metrics: dict[str, float] = {}
        self._own_thresholds: dict[str, float] = {}
        self._resulting: dict[str, float] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse early what would fail at the first validation.

        Raises:
            ConfigError: The population holds no safe validation row.
        """
        if stage in {"fit", "validate"}:
            rows = labelled_data(trainer).rows(VALIDATION)
            population = self.population or default_population(rows)
            if not ((rows.labels == SAFE) & (rows.weights_of(population) > 0)).any():
                raise ConfigError(
                    f"population {population!r} has no safe validation row to fix a threshold on; set "
                    f"callbacks.reliability.population to one of {', '.join(rows.populations())}"
                )

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Fix the threshold anew and judge the validation rows at it."""
        if trainer.sanity_checking:
            return
        scores, rows = scored_rows(trainer, pl_module, VALIDATION)
        rate = self.false_positive_rate
        self.fixed = fix_threshold(scores, rows, population=self.population, rate=rate)
        self._own_thresholds = thresholds_by_population(scores, rows, rate=rate)
        # Figures of earlier weights end here: a test that is judged later must not sit beside them.
        self.evaluations, self.metrics = {}, {}
        self._resulting = {VALIDATION: self.fixed.resulting_false_positive_rate}
        fitting = bool(trainer.state.fn and trainer.state.fn.value == "fit")
        self._judge(trainer, scores, rows, split=VALIDATION, draw=not fitting or self.figures_during_fit)
        if not fitting:
            self.write(trainer)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Judge every test split at the threshold of the latest validation.

        Raises:
            ConfigError: No validation came before.
        """
        if self.fixed is None:
            raise ConfigError(
                "there is no threshold for the test: it is fixed on validation data; run trainer.validate with the "
                "weights to be tested before trainer.test"
            )
        for split in labelled_data(trainer).splits("test"):
            scores, rows = scored_rows(trainer, pl_module, split)
            self._judge(trainer, scores, rows, split=split, draw=True)
            populations = {entry.population for entry in self.evaluations[split].populations}
            if self.fixed.population in populations:
                self._resulting[split] = self.evaluations[split].of(self.fixed.population).fpr.estimate
        self.write(trainer)

    def write(self, trainer: Trainer) -> None:
        """Write `threshold.json` and `metrics.json` into the run folder, each as a whole; rank zero only."""
        if not trainer.is_global_zero or self.fixed is None:
            return
        folder = RunFolder(Path(trainer.default_root_dir))
        resulting = {split: rate for split, rate in self._resulting.items() if math.isfinite(rate)}
        write_json(
            folder.threshold,
            {**self.fixed.as_json(), "chosen_on": VALIDATION, "resulting_false_positive_rate": resulting},
        )
        evaluation = {split: result.as_json() for split, result in self.evaluations.items()}
        write_json(folder.metrics, {"metrics": self.metrics, "evaluation": evaluation})

    def _judge(
        self, trainer: Trainer, scores: NDArray[np.float64], rows: LabelledRows, *, split: str, draw: bool
    ) -> None:
        assert self.fixed is not None
        result = evaluate(scores, rows, threshold=self.fixed.threshold, own_thresholds=self._own_thresholds)
        self.evaluations[split] = result
        scalars = {f"{split}/{name}": value for name, value in result.scalars().items()}
        self.metrics |= _finite_scalars(trainer.callback_metrics) | scalars
        if not trainer.is_global_zero:
            return
        for logger in trainer.loggers:
            logger.log_metrics(scalars, step=trainer.global_step)
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_text(f"reliability/{split}", result.table(), trainer.global_step)
        if self.figures and draw:
            figures = draw_all(
                scores, rows, evaluation=result, split=split, false_positive_rate=self.false_positive_rate
            )
            self._record(trainer, figures, split=split)

    def _record(self, trainer: Trainer, figures: Mapping[str, Figure], *, split: str) -> None:
        folder = Path(trainer.default_root_dir) / "figures"
        during_fit = bool(trainer.state.fn and trainer.state.fn.value == "fit")
        for name, figure in figures.items():
            image = as_image(figure)
            for logger in trainer.loggers:
                if isinstance(logger, TensorBoardLogger):
                    logger.experiment.add_image(f"{split}/{name}", image, trainer.global_step, dataformats="HWC")
            if not during_fit:
                save_png(image, folder / f"{split}_{name}.png")


def _finite_scalars(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Lightning's logged scalars as floats, without those that JSON cannot hold."""
    values = {name: float(value) for name, value in metrics.items()}
    return {name: value for name, value in values.items() if math.isfinite(value)}
