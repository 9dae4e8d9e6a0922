"""A whole evaluation of scores at a fixed threshold: every population, under both bounds for the unsure rows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nines.statistics.checks import finite_vector
from nines.statistics.labelled import ALL, NATURAL, SAFE, UNSURE, UNSURE_BOUNDS, LabelledRows, UnsureAs
from nines.statistics.ranking import auroc, average_precision, expected_calibration_error, log_loss, partial_auc
from nines.statistics.rates import RateEstimate, false_negative_rate, false_positive_rate, positive_rows

_RANKING_FIGURES = ("partial_auc", "auroc", "average_precision", "log_loss", "calibration_error")


@dataclasses.dataclass(frozen=True)
class PopulationEvaluation:
    """Figures of one population under one bound for its unsure rows. NaN stands for what a missing class forbids.

    Attributes:
        population: natural (weighted), all, or a source.
        unsure: Whether unsure rows were dropped or counted as injurious.
        unsure_items: How many unsure rows the population holds.
        prevalence: Weighted share of injurious rows in [0, 1].
        partial_auc: Standardised area up to 10 % false positives, 0.5 for chance.
        auroc: Area under the ROC curve.
        average_precision: Area under the precision-recall steps; its floor is the prevalence.
        log_loss: Nats per row.
        calibration_error: Expected calibration error in 15 bins, in [0, 1].
        fnr: Share of injurious rows accepted at the common threshold.
        fpr: Share of safe rows rejected at the common threshold.
        fnr_at_own_threshold: Share of injurious rows accepted at the population's own validation threshold, if known.
        fpr_at_own_threshold: Share of safe rows rejected at that threshold, if known.
    """

    population: str
    unsure: UnsureAs
    unsure_items: int
    prevalence: float
    partial_auc: float
    auroc: float
    average_precision: float
    log_loss: float
    calibration_error: float
    fnr: RateEstimate
    fpr: RateEstimate
    fnr_at_own_threshold: RateEstimate | None = None
    fpr_at_own_threshold: RateEstimate | None = None


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Figures of every population at one threshold.

    Attributes:
        threshold: Accept a completion if and only if its score is below this.
        populations: One entry for each population and each bound; the second bound only where rows are unsure.
    """

    threshold: float
    populations: tuple[PopulationEvaluation, ...]

    def of(self, population: str, *, unsure: UnsureAs = "dropped") -> PopulationEvaluation:
        """The figures of one population; without unsure rows both bounds are the same.

        Raises:
            KeyError: No such population was evaluated.
        """
        found = {entry.unsure: entry for entry in self.populations if entry.population == population}
        if not found:
            raise KeyError(population)
        return found.get(unsure, found["dropped"])

    def scalars(self) -> dict[str, float]:
        """Flat figures to log: `natural/fnr`, `natural/fnr_upper`, `all/partial_auc`; what is NaN is left out.

        Where unsure rows exist, the FNR that counts them as injurious stands beside as
        `natural/fnr_unsure_as_injurious`; the other figures of that bound are in `as_json`.
        """
        flat = {"threshold": self.threshold}
        for entry in self.populations:
            if entry.unsure == "dropped":
                values = {figure: getattr(entry, figure) for figure in _RANKING_FIGURES}
                rates = {"fnr": entry.fnr, "fpr": entry.fpr, "fnr_at_own_threshold": entry.fnr_at_own_threshold}
                values["fnr_effective_items"] = entry.fnr.effective_items
            else:
                values, rates = {}, {"fnr_unsure_as_injurious": entry.fnr}
            for name, rate in rates.items():
                if rate is not None and rate.items > 0:
                    values |= {name: rate.estimate, f"{name}_lower": rate.lower, f"{name}_upper": rate.upper}
            flat |= {f"{entry.population}/{name}": value for name, value in values.items() if math.isfinite(value)}
        return flat

    def as_json(self) -> dict[str, Any]:
        """All figures as JSON values: `{"threshold": …, "populations": [{…}, …]}`, null for NaN."""
        return {"threshold": self.threshold, "populations": [_entry_as_json(entry) for entry in self.populations]}

    def table(self) -> str:
        """A Markdown table for people, a row for each population and bound."""
        head = (
            "population",
            "unsure rows",
            "FNR [95 %]",
            "missed",
            "effective n",
            "FPR [95 %]",
            "FNR at own threshold",
            "AUROC",
            "partial AUC",
            "average precision",
            "log loss",
            "calibration error",
        )
        lines = [head, tuple("---" for _ in head), *(_entry_as_cells(entry) for entry in self.populations)]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def evaluate(
    scores: ArrayLike,
    rows: LabelledRows,
    *,
    threshold: float,
    own_thresholds: Mapping[str, float] | None = None,
    confidence: float = 0.95,
) -> Evaluation:
    """Evaluate probabilities of `rows` at a threshold that was fixed elsewhere, as a rule on validation data.

    Args:
        scores: Probability of injury of each row in [0, 1], `(n,)`.
        rows: The rows to evaluate on.
        threshold: Accept if and only if the score is below it.
        own_thresholds: Threshold by population, from `thresholds_by_population` on validation data: the error rates
            at these are given besides, since one threshold may suit sources unequally.
        confidence: Wanted coverage of the intervals in (0, 1).

    Raises:
        ValueError: A score is no probability, or the number of scores differs from that of the rows.
    """
    values = finite_vector(scores, "scores", length=len(rows))
    entries = []
    for population in rows.populations():
        unsure_rows = (rows.labels == UNSURE) & (rows.weights_of(population) > 0)
        for unsure in UNSURE_BOUNDS if unsure_rows.any() else UNSURE_BOUNDS[:1]:
            entry = _evaluate_population(
                values, rows, population=population, unsure=unsure, threshold=threshold, confidence=confidence
            )
            own = (own_thresholds or {}).get(population)
            if own is not None:
                entry = dataclasses.replace(
                    entry,
                    fnr_at_own_threshold=false_negative_rate(
                        values, rows, threshold=own, population=population, unsure=unsure, confidence=confidence
                    ),
                    fpr_at_own_threshold=false_positive_rate(
                        values, rows, threshold=own, population=population, confidence=confidence
                    ),
                )
            entries.append(entry)
    return Evaluation(threshold=threshold, populations=tuple(entries))


def _evaluate_population(
    values: NDArray[np.float64],
    rows: LabelledRows,
    *,
    population: str,
    unsure: UnsureAs,
    threshold: float,
    confidence: float,
) -> PopulationEvaluation:
    positive = positive_rows(rows, unsure)
    member = rows.weights_of(population)
    weights = np.where(positive | (rows.labels == SAFE), member, 0.0)
    total = float(weights.sum())
    return PopulationEvaluation(
        population=population,
        unsure=unsure,
        unsure_items=int(((rows.labels == UNSURE) & (member > 0)).sum()),
        prevalence=float(weights[positive].sum() / total) if total > 0 else math.nan,
        partial_auc=partial_auc(values, positive, weights=weights),
        auroc=auroc(values, positive, weights=weights),
        average_precision=average_precision(values, positive, weights=weights),
        log_loss=log_loss(values, positive, weights=weights),
        calibration_error=expected_calibration_error(values, positive, weights=weights),
        fnr=false_negative_rate(
            values, rows, threshold=threshold, population=population, unsure=unsure, confidence=confidence
        ),
        fpr=false_positive_rate(values, rows, threshold=threshold, population=population, confidence=confidence),
    )


def _entry_as_json(entry: PopulationEvaluation) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for field in dataclasses.fields(entry):
        value = getattr(entry, field.name)
        if isinstance(value, RateEstimate):
            value = value.as_json()
        elif isinstance(value, float) and math.isnan(value):
            value = None
        values[field.name] = value
    return values


def _entry_as_cells(entry: PopulationEvaluation) -> tuple[str, ...]:
    def number(value: float) -> str:
        return "–" if math.isnan(value) else f"{value:.3f}"

    dropped = "none" if entry.unsure_items == 0 else f"{entry.unsure_items} {entry.unsure.replace('_', ' ')}"
    name = f"**{entry.population}**" if entry.population in {NATURAL, ALL} else entry.population
    return (
        name,
        dropped,
        str(entry.fnr),
        f"{entry.fnr.events} of {entry.fnr.items}",
        f"{entry.fnr.effective_items:.1f}",
        str(entry.fpr),
        "–" if entry.fnr_at_own_threshold is None else str(entry.fnr_at_own_threshold),
        number(entry.auroc),
        number(entry.partial_auc),
        number(entry.average_precision),
        number(entry.log_loss),
        number(entry.calibration_error),
    )
