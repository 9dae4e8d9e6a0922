"""The rules of `nines calibrate`: from its configuration and scored rows to a threshold with its guarantee."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from datamodules.judged_draws import read_judged_draws
from nines.errors import ConfigError, UserError
from nines.statistics.chosen_threshold import ChosenThreshold
from nines.statistics.conformal import conformal_threshold
from nines.statistics.labelled import LabelledRows
from nines.statistics.quality_budget import FilteredQuality, threshold_at_quality_budget
from nines.statistics.rates import positive_rows
from nines.statistics.risk_control import risk_controlling_threshold
from nines.statistics.share_rules import acceptance_rule, false_positive_rate_rule

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from omegaconf import DictConfig

    from datamodules.completions import LabelledCompletions
    from lightning_modules.prediction import Predictor

_RISK = ("alpha", "confidence", "largest_weight", "unsure")
SETTINGS: Final[dict[str, tuple[str, ...]]] = {
    "false_positive_rate": ("false_positive_rate",),
    "acceptance": ("acceptance",),
    "quality_budget": ("quality_loss", "confidence", "comparisons", "pool"),
    "conformal": ("alpha", "largest_weight", "unsure"),
    "clopper_pearson": ("alpha", "confidence", "unsure"),
    "hoeffding_bentkus": _RISK,
    "betting": _RISK,
}
"""Which keys each rule reads."""

CANDIDATES: Final = 101
"""Thresholds that the quality budget tries: at even shares of acceptance, from all to nothing."""


def refuse_unused(config: DictConfig) -> None:
    """Say of a setting that the rule would silently leave aside.

    Raises:
        UserError: A key of another rule was set.
    """
    from apps.config import compose, flatten

    values, defaults = flatten(config), flatten(compose("calibrate", [], allow_missing=True))
    special = {key for keys in SETTINGS.values() for key in keys}
    unused = sorted(special - set(SETTINGS[config.rule]))
    changed = [key for key in unused if values[key] != defaults[key]]
    if changed:
        users = [rule for rule, keys in SETTINGS.items() if changed[0] in keys]
        raise UserError(f"rule={config.rule} does not use {changed[0]}, which is for rule={', '.join(users)}")


def choose(
    config: DictConfig, scores: NDArray[np.float64], data: LabelledCompletions, predictor: Predictor, *, population: str
) -> tuple[ChosenThreshold, list[dict[str, Any]] | None]:
    """The threshold that the rule of a configuration of `calibrate` chooses, and quality at those it tried, if it did.

    Args:
        config: A checked configuration.
        scores: Score of each row of `config.split`, `(n,)`.
        data: The rows.
        predictor: Scores the completions that the quality budget needs.
        population: Whose rows count.

    Raises:
        UserError: The rows cannot carry what was asked for.
    """
    rows = data.rows(config.split)
    if config.rule == "false_positive_rate":
        return false_positive_rate_rule(scores, rows, rate=config.false_positive_rate, population=population), None
    if config.rule == "acceptance":
        return acceptance_rule(scores, rows, share=config.acceptance, population=population), None
    if config.rule == "quality_budget":
        return _by_quality(config, data, predictor)
    return _by_risk(config, scores, rows, population=population), None


def _by_risk(
    config: DictConfig, scores: NDArray[np.float64], rows: LabelledRows, *, population: str
) -> ChosenThreshold:
    injurious = positive_rows(rows, config.unsure) & (rows.weights_of(population) > 0)
    sample = {
        "alpha": config.alpha,
        "weights": rows.weights_of(population)[injurious],
        "prompts": rows.prompts[injurious],
        "largest_weight": config.largest_weight,
    }
    try:
        if config.rule == "conformal":
            return conformal_threshold(scores[injurious], **sample)
        return risk_controlling_threshold(scores[injurious], **sample, bound=config.rule, confidence=config.confidence)
    except ValueError as error:  # largest_weight below what is there; the rest is checked before
        raise ConfigError(str(error)) from error


def _by_quality(
    config: DictConfig, data: LabelledCompletions, predictor: Predictor
) -> tuple[ChosenThreshold, list[dict[str, Any]]]:
    draws = read_judged_draws(
        config.comparisons, config.split, labelled=data.completions(config.split), pool=config.pool
    )
    scores = predictor.scores(draws.texts)
    quality = FilteredQuality(
        scores,
        draws.prompts,
        pairs=[pair[:2] for pair in draws.pairs],
        preferences=[pair[2] for pair in draws.pairs],
        confidence=2 * config.confidence - 1,
    )
    candidates = np.nextafter(np.quantile(scores, np.linspace(0.0, 1.0, CANDIDATES)), np.inf)
    chosen = threshold_at_quality_budget(quality, candidates, loss=config.quality_loss)
    curve = [{"threshold": float(one), **quality(float(one)).as_json()} for one in np.unique(candidates)]
    return chosen, curve
