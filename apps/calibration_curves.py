"""What `nines calibrate` shows beside the threshold: calibration before and after, trade-off, margin of safety."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from nines.statistics.calibration import CalibrationMap, Kind, cross_fitted, fit_calibration
from nines.statistics.estimate import NoEstimateError
from nines.statistics.labelled import INJURIOUS, SAFE, UNSURE
from nines.statistics.rates import RateEstimate, estimate_rate, false_negative_rate, false_positive_rate, positive_rows
from nines.statistics.reliability_diagram import calibration_error, reliability_diagram
from nines.statistics.safety_margin import SafetyMargin, safety_margin
from nines.statistics.trade_off import trade_off

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from omegaconf import DictConfig

    from datamodules.completions import LabelledCompletions
    from lightning_modules.prediction import Predictor
    from nines.statistics.chosen_threshold import ChosenThreshold
    from nines.statistics.labelled import LabelledRows

SEARCHED = ("adversarial", "minimal_pairs")


def curves_of(
    config: DictConfig,
    scores: NDArray[np.float64],
    data: LabelledCompletions,
    predictor: Predictor,
    *,
    chosen: ChosenThreshold,
    population: str,
) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """The `calibration` entry of threshold.json (None without a map), and the content of calibration.json."""
    rows = data.rows(config.split)
    calibration, diagrams = _calibrate(config.calibration, scores, rows, population=population, at=chosen.threshold)
    weights = rows.weights_of(population)
    rates: dict[str, RateEstimate] = {
        "acceptance": estimate_rate(scores < chosen.threshold, rows.prompts, weights=weights),
        "false_negative_rate": false_negative_rate(
            scores, rows, threshold=chosen.threshold, population=population, unsure=config.unsure
        ),
        "false_positive_rate": false_positive_rate(scores, rows, threshold=chosen.threshold, population=population),
    }
    summary = {
        f"on {config.split}": ", ".join(f"{name.replace('_', ' ')} {rate}" for name, rate in rates.items()),
        "": "measured on the rows that chose the threshold, so too good; nines evaluate judges it on test rows",
    }
    if calibration is not None:
        summary["calibration"] = (
            f"{calibration['kind']}: error {_percent(calibration['error_before'])} before, "
            f"{_percent(calibration['error_after'])} after (cross-fitted), on {population}"
        )
    margin = _margin(scores, data, predictor, split=config.split, threshold=chosen.threshold, population=population)
    if margin is not None:
        worst = ", ".join(
            f"{one.name}: worst {one.score:.3g}, {one.below_sample:+.1f} log odds, {one.missed} of {one.items} missed"
            for one in margin.found
        )
        summary["margin"] = (
            f"worst injurious row of {config.split} {margin.sample.score:.3g}; {worst or 'no other set'}"
        )
    curve = None
    if (positive_rows(rows, config.unsure) & (weights > 0)).any():
        curve = trade_off(scores, rows, population=population, unsure=config.unsure).as_json()
    return calibration, {
        "threshold": chosen.threshold,
        "split": config.split,
        "population": population,
        "rates": {name: rate.as_json() for name, rate in rates.items()},
        "trade_off": curve,
        "reliability": diagrams,
        "margin": None if margin is None else margin.as_json(),
        "summary": summary,
    }


def figures_of(curves: dict[str, Any], threshold: float) -> dict[str, NDArray[np.uint8]]:
    """Pixels of each figure by its name."""
    from callbacks.rendering import as_image
    from callbacks.trade_off_figures import draw_quality, draw_reliability, draw_trade_off

    figures = {}
    if curves["trade_off"] is not None:
        figures["trade_off"] = draw_trade_off(curves["trade_off"], threshold=threshold, split=curves["split"])
        if curves["quality"]:
            drawn = (curves["trade_off"], curves["quality"])
            figures["quality"] = draw_quality(*drawn, threshold=threshold, split=curves["split"])
    figures["reliability"] = draw_reliability(
        curves["reliability"], split=curves["split"], population=curves["population"]
    )
    return {name: as_image(figure) for name, figure in figures.items()}


def _calibrate(
    kind: str, scores: NDArray[np.float64], rows: LabelledRows, *, population: str, at: float
) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """The map with its error before and after, and the reliability diagrams of both."""
    weights = np.where(rows.labels == UNSURE, 0.0, rows.weights_of(population))
    known = weights > 0
    values, positive, masses, prompts = (
        scores[known],
        rows.labels[known] == INJURIOUS,
        weights[known],
        rows.prompts[known],
    )

    def diagram(probabilities: NDArray[np.float64]) -> list[dict[str, Any]]:
        bins = reliability_diagram(probabilities, positive, weights=masses, prompts=prompts, equal_weight=True)
        return [{**dataclasses.asdict(one), "observed": one.observed.as_json()} for one in bins]

    def error(probabilities: NDArray[np.float64]) -> dict[str, Any]:
        return calibration_error(probabilities, positive, weights=masses, prompts=prompts).as_json()

    diagrams: dict[str, Any] = {"before": diagram(values), "after": None}
    if kind == "none":
        return None, diagrams
    fitted: CalibrationMap = fit_calibration(_as_kind(kind), values, positive, weights=masses)
    entry: dict[str, Any] = {
        "map": fitted.as_json(),
        "kind": kind,
        "population": population,
        "rows": int(known.sum()),
        "threshold": float(fitted.apply(at)),
        "error_before": error(values),
        "error_after": None,
    }
    try:
        probabilities = cross_fitted(_as_kind(kind), values, positive, prompts=prompts, weights=masses)
    except NoEstimateError:  # a fold that cannot be fitted: too few rows to say how good the map is
        return entry, diagrams
    diagrams["after"] = diagram(probabilities)
    return {**entry, "error_after": error(probabilities)}, diagrams


def _as_kind(kind: str) -> Kind:
    from nines.statistics.calibration import KINDS

    return next(known for known in KINDS if known == kind)


def _margin(
    scores: NDArray[np.float64],
    data: LabelledCompletions,
    predictor: Predictor,
    *,
    split: str,
    threshold: float,
    population: str,
) -> SafetyMargin | None:
    """The worst of the split against that of the sets that were written to fool a classifier; None without both."""
    rows = data.rows(split)
    member = rows.weights_of(population)
    injurious, safe = (rows.labels == INJURIOUS) & (member > 0), (rows.labels == SAFE) & (member > 0)
    if not (injurious.any() and safe.any()):
        return None
    found = {}
    for name in SEARCHED:
        if name in data.splits():
            texts = [
                pair for pair, label in zip(data.texts(name), data.rows(name).labels, strict=True) if label == INJURIOUS
            ]
            found[name] = predictor.scores(texts)
    return safety_margin(scores[injurious], found, threshold=threshold, safe=scores[safe], safe_weights=member[safe])


def _percent(error: dict[str, Any] | None) -> str:
    if error is None:
        return "unknown (a fold of the rows cannot be fitted)"
    return f"{100 * error['estimate']:.1f} % [{100 * error['lower']:.1f}, {100 * error['upper']:.1f}]"
