"""Judges a reward model after each validation and test: accuracy beside the readers, calibration, baselines, plots."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import lightning as L
import numpy as np
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from numpy.typing import NDArray

from callbacks.preference_figures import draw_preferences
from callbacks.rendering import as_image, save_png
from nines.errors import ConfigError
from nines.files import write_json
from nines.models.preference_baselines import LengthBaseline, PreferenceBaseline, TfidfPreferenceBaseline
from nines.run_folder import RunFolder
from nines.statistics.comparisons import JudgedPairs
from nines.statistics.preferences import PreferenceEvaluation, evaluate_preferences

VALIDATION = "valid"


@runtime_checkable
class PreferringModule(Protocol):
    """A module that keeps what it predicted in its last evaluation."""

    def gathered_predictions(self, split: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """First minus second score, `(pairs,)`, and P(first), P(tie), P(second), `(pairs, 3)`, on every rank."""


@runtime_checkable
class JudgedData(Protocol):
    """A data module of comparisons."""

    def splits(self, stage: str) -> Sequence[str]:
        """Names of the splits that a stage (fit, validate, test) goes through."""

    def judged(self, split: str) -> JudgedPairs:
        """What the readers say of each pair."""

    def texts(self, split: str) -> list[tuple[str, str, str]]:
        """Prompt, first and second completion of each pair."""


class PreferenceReliability(L.Callback):
    """How often the preferred completion scores higher, with its interval and what to hold it against.

    After each validation the figures go to the loggers. `trainer.validate` and `trainer.test` also write `metrics.json`
    and `figures/*.png` into the run folder, which is `trainer.default_root_dir`. Everything is computed on all ranks
    alike and recorded by rank zero.

    Args:
        baselines: Fit length and TF-IDF on the training pairs, and judge them beside the model outside of a fit.
        figures: Draw plots after `trainer.validate` and `trainer.test`.
        seed: Of the baselines' solver.

    Attributes:
        evaluations: The latest evaluation of each split.
        baseline_evaluations: The same of each baseline, by split and name.
        metrics: Flat figures of every split, `test/accuracy_lower` and the like.
    """

    def __init__(self, *, baselines: bool = True, figures: bool = True, seed: int = 0) -> None:
        self.baselines = baselines
        self.figures = figures
        self.seed = seed
        self.evaluations: dict[str, PreferenceEvaluation] = {}
        self.baseline_evaluations: dict[str, dict[str, PreferenceEvaluation]] = {}
        self.metrics: dict[str, float] = {}
        self._fitted: list[PreferenceBaseline] | None = None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Judge the validation pairs."""
        if trainer.sanity_checking:
            return
        # Figures of earlier weights end here: a test that is judged later must not sit beside them.
        self.evaluations, self.baseline_evaluations, self.metrics = {}, {}, {}
        fitting = bool(trainer.state.fn and trainer.state.fn.value == "fit")
        self._judge(trainer, pl_module, VALIDATION, whole=not fitting)
        if not fitting:
            self._write(trainer)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Judge the test pairs."""
        for split in judged_data(trainer).splits("test"):
            self._judge(trainer, pl_module, split, whole=True)
        self._write(trainer)

    def _judge(self, trainer: Trainer, pl_module: LightningModule, split: str, *, whole: bool) -> None:
        if not isinstance(pl_module, PreferringModule):
            raise ConfigError(
                f"callbacks.preferences needs a module with gathered_predictions(), {type(pl_module).__name__} has "
                "none; use module=reward_model or leave the callback out"
            )
        data = judged_data(trainer)
        pairs = data.judged(split)
        differences, probabilities = pl_module.gathered_predictions(split)
        result = evaluate_preferences(differences, probabilities, pairs)
        self.evaluations[split] = result
        scalars = {f"{split}/{name}": value for name, value in result.scalars().items()}
        if whole and self.baselines:
            beside = self._judge_baselines(data, split)
            self.baseline_evaluations[split] = beside
            for name, evaluation in beside.items():
                key = f"{split}/baselines/{name.lower().replace('-', '_')}"
                scalars |= {f"{key}/{figure}": evaluation.scalars()[figure] for figure in ("accuracy", "log_loss")}
        logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.metrics |= {name: value for name, value in logged.items() if math.isfinite(value)} | scalars
        if trainer.is_global_zero:
            self._record(trainer, result, differences, split=split, scalars=scalars, whole=whole)

    def _judge_baselines(self, data: JudgedData, split: str) -> dict[str, PreferenceEvaluation]:
        if self._fitted is None:
            candidates: list[PreferenceBaseline] = [
                LengthBaseline(seed=self.seed),
                TfidfPreferenceBaseline(seed=self.seed),
            ]
            texts, judged = data.texts("train"), data.judged("train")
            valid, valid_judged = data.texts(VALIDATION), data.judged(VALIDATION)
            self._fitted = [one.fit(texts, judged, valid=valid, valid_judged=valid_judged) for one in candidates]
        found = {}
        for baseline in self._fitted:
            log_odds = baseline.differences(data.texts(split))
            first = 1 / (1 + np.exp(-log_odds))
            chances = np.stack([first, np.zeros_like(first), 1 - first], axis=1)
            found[baseline.name] = evaluate_preferences(log_odds, chances, data.judged(split))
        return found

    def _record(
        self,
        trainer: Trainer,
        result: PreferenceEvaluation,
        differences: NDArray[np.float64],
        *,
        split: str,
        scalars: dict[str, float],
        whole: bool,
    ) -> None:
        images = {}
        if whole and self.figures:
            beside = {name: found.accuracy for name, found in self.baseline_evaluations.get(split, {}).items()}
            pairs = judged_data(trainer).judged(split)
            drawn = draw_preferences(differences, pairs, evaluation=result, baselines=beside, split=split)
            images = {name: as_image(figure) for name, figure in drawn.items()}
        for logger in trainer.loggers:
            logger.log_metrics(scalars, step=trainer.global_step)
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_text(f"preferences/{split}", result.table(), trainer.global_step)
                for name, image in images.items():
                    logger.experiment.add_image(f"{split}/{name}", image, trainer.global_step, dataformats="HWC")
        for name, image in images.items():
            save_png(image, Path(trainer.default_root_dir) / "figures" / f"{split}_{name}.png")

    def _write(self, trainer: Trainer) -> None:
        if not trainer.is_global_zero:
            return
        evaluation: dict[str, Any] = {
            split: {
                **result.as_json(),
                "baselines": {name: one.as_json() for name, one in self.baseline_evaluations.get(split, {}).items()},
            }
            for split, result in self.evaluations.items()
        }
        folder = RunFolder(Path(trainer.default_root_dir))
        write_json(folder.metrics, {"metrics": self.metrics, "evaluation": evaluation})


def judged_data(trainer: Trainer) -> JudgedData:
    """The trainer's data module.

    Raises:
        ConfigError: The trainer has none, or one without judged pairs.
    """
    # Lightning's Trainer sets this attribute by its data connector and declares no type for it.
    data = getattr(trainer, "datamodule", None)
    if not isinstance(data, JudgedData):
        raise ConfigError(
            f"callbacks.preferences needs a data module with judged(), texts() and splits(), got "
            f"{type(data).__name__}; use datamodule=comparisons or leave the callback out"
        )
    return data
