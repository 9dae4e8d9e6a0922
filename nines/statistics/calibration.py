"""Maps from scores to calibrated probabilities, all of them increasing: temperature, Platt, beta and isotonic.

A map changes no decision: thresholds are compared with raw scores, and a map that never falls keeps their order.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final, Literal, Protocol, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from nines.errors import DataError, nearest
from nines.statistics.checks import binary_vector, finite_vector, weights_or_ones
from nines.statistics.estimate import NoEstimateError
from nines.statistics.intervals import kish_effective_size
from nines.statistics.logistic_fit import fit_logistic

Kind = Literal["temperature", "platt", "beta", "isotonic"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

# Beyond these a float32 score says nothing more, and its logarithm would rule the fit.
_LOWEST: Final = 1e-12


class CalibrationMap(Protocol):
    """An increasing map from scores to probabilities."""

    @property
    def kind(self) -> Kind:
        """Which family it is of."""

    def apply(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Probabilities in [0, 1] for scores in [0, 1], of the same shape."""

    def as_json(self) -> dict[str, Any]:
        """What `calibration_from_json` takes."""


@dataclasses.dataclass(frozen=True)
class LogisticMap:
    """`logit P = on_log ln(s) - on_log_complement ln(1 - s) + intercept` for a score s.

    Temperature scaling (Guo et al. 2017) has both slopes 1 / T and no intercept, Platt's scaling (Platt 1999, here on
    the log odds of the score) equal slopes, beta calibration (Kull, Silva Filho and Flach 2017, eq. 6) all three free.

    Attributes:
        kind: temperature, platt or beta.
        on_log: Slope of ln(s), at least 0.
        on_log_complement: Slope of -ln(1 - s), at least 0.
        intercept: In log odds.
    """

    kind: Kind
    on_log: float
    on_log_complement: float
    intercept: float

    def __post_init__(self) -> None:
        if not (self.on_log >= 0 and self.on_log_complement >= 0 and np.isfinite(self.intercept)):
            raise ValueError("a calibration map needs slopes of at least 0 and a finite intercept")

    def apply(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Probabilities in [0, 1] for scores in [0, 1], of the same shape."""
        low, high = _log_features(np.asarray(scores, dtype=np.float64))
        return np.asarray(special.expit(self.on_log * low + self.on_log_complement * high + self.intercept))

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class IsotonicMap:
    """The increasing function with the least weighted squared error (Zadrozny and Elkan 2002), linear in between.

    Attributes:
        scores: Knots, strictly ascending.
        probabilities: Value at each knot, never falling; constant beyond the ends.
    """

    scores: tuple[float, ...]
    probabilities: tuple[float, ...]
    kind: Kind = "isotonic"

    def __post_init__(self) -> None:
        knots, values = np.array(self.scores), np.array(self.probabilities)
        if len(knots) == 0 or len(knots) != len(values) or (np.diff(knots) <= 0).any() or (np.diff(values) < 0).any():
            raise ValueError("an isotonic map needs ascending scores with probabilities that never fall")

    def apply(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Probabilities in [0, 1] for scores in [0, 1], of the same shape."""
        return np.asarray(np.interp(np.asarray(scores, dtype=np.float64), self.scores, self.probabilities))

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {"kind": self.kind, "scores": list(self.scores), "probabilities": list(self.probabilities)}


def fit_calibration(
    kind: Kind, scores: ArrayLike, positives: ArrayLike, *, weights: ArrayLike | None = None
) -> CalibrationMap:
    """Fit a map on held-out rows.

    temperature, platt and beta minimise the weighted log loss against Platt's targets, `(n1 + 1) / (n1 + 2)` for
    injurious rows and `1 / (n0 + 2)` for safe ones (Platt 1999, section 2.2), which keep the slopes finite where the
    scores separate the classes; with weights, n1 and n0 are Kish's effective numbers. isotonic minimises the weighted
    squared error and may give exactly 0 and 1; it needs many rows.

    Args:
        kind: Which family.
        scores: Score of each row in [0, 1], `(n,)`.
        positives: Whether each row is injurious, `(n,)`.
        weights: What each row stands for, `(n,)`; None counts each once.

    Raises:
        NoEstimateError: A class is missing, or no increasing map is better than a constant one.
        ValueError: The kind is unknown, a score is no probability, or shapes differ.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown calibration {kind!r}; {nearest(kind, KINDS)}")
    values = finite_vector(scores, "scores")
    if ((values < 0) | (values > 1)).any():
        raise ValueError("calibration needs scores in [0, 1]")
    positive = binary_vector(positives, "positives", length=len(values))
    masses = weights_or_ones(weights, len(values))
    counted = masses > 0
    values, positive, masses = values[counted], positive[counted], masses[counted]
    if not positive.any() or positive.all():
        missing = "safe" if positive.any() else "injurious"
        raise NoEstimateError(f"there is no {missing} row with a weight to calibrate on")
    if kind == "isotonic":
        return _fit_isotonic(values, positive, masses)
    return _fit_logistic_map(kind, values, positive, masses)


def cross_fitted(
    kind: Kind,
    scores: ArrayLike,
    positives: ArrayLike,
    *,
    prompts: ArrayLike,
    weights: ArrayLike | None = None,
    folds: int = 5,
) -> NDArray[np.float64]:
    """Probabilities of rows by maps that never saw their prompts: what says how well a map does on new rows, `(n,)`.

    Prompts are dealt to folds in the order of their values; each fold is mapped by a fit on the others.

    Raises:
        NoEstimateError: A fit lacks a class, or there are fewer prompts than folds.
        ValueError: As `fit_calibration`, or `folds` is below 2.
    """
    if folds < 2:
        raise ValueError(f"folds must be at least 2, got {folds}")
    values = finite_vector(scores, "scores")
    positive = binary_vector(positives, "positives", length=len(values))
    masses = weights_or_ones(weights, len(values))
    group = np.unique(np.asarray(prompts), return_inverse=True)[1]
    if len(values) == 0 or group.max() + 1 < folds:
        raise NoEstimateError(f"{folds} folds need at least as many prompts")
    probabilities = np.empty(len(values))
    for fold in range(folds):
        held = group % folds == fold
        fitted = fit_calibration(kind, values[~held], positive[~held], weights=masses[~held])
        probabilities[held] = fitted.apply(values[held])
    return probabilities


def calibration_from_json(content: Mapping[str, Any]) -> CalibrationMap:
    """What `as_json` gave.

    Raises:
        DataError: It is no calibration map.
    """
    try:
        if content["kind"] == "isotonic":
            return IsotonicMap(
                scores=tuple(float(value) for value in content["scores"]),
                probabilities=tuple(float(value) for value in content["probabilities"]),
            )
        if content["kind"] not in KINDS:
            raise DataError(f"unknown calibration {content['kind']!r}; {nearest(str(content['kind']), KINDS)}")
        slopes = (float(content["on_log"]), float(content["on_log_complement"]))
        return LogisticMap(content["kind"], *slopes, float(content["intercept"]))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"no calibration map: {error!r}") from error


def _log_features(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """ln(s) and -ln(1 - s)."""
    inside = np.clip(values, _LOWEST, 1.0 - _LOWEST)
    return np.log(inside), -np.log1p(-inside)


def _fit_logistic_map(
    kind: Kind, values: NDArray[np.float64], positive: NDArray[np.bool_], masses: NDArray[np.float64]
) -> LogisticMap:
    ones, zeros = kish_effective_size(masses[positive]), kish_effective_size(masses[~positive])
    targets = np.where(positive, (ones + 1.0) / (ones + 2.0), 1.0 / (zeros + 2.0))
    low, high = _log_features(values)
    columns = [low, high] if kind == "beta" else [low + high]
    slopes = len(columns)
    if kind != "temperature":
        columns.append(np.ones(len(values)))
    found = fit_logistic(np.stack(columns, axis=1), targets, weights=masses, nonnegative=slopes)
    if found[:slopes].sum() < 1e-9:
        raise NoEstimateError(
            "these scores do not rank injurious rows above safe ones, so no increasing map calibrates them; "
            "look at the AUROC, or set calibration=none"
        )
    on_log, on_log_complement = float(found[0]), float(found[slopes - 1])
    return LogisticMap(kind, on_log, on_log_complement, float(found[slopes]) if kind != "temperature" else 0.0)


def _fit_isotonic(values: NDArray[np.float64], positive: NDArray[np.bool_], masses: NDArray[np.float64]) -> IsotonicMap:
    distinct, group = np.unique(values, return_inverse=True)
    totals = np.bincount(group, weights=masses)
    shares = np.bincount(group, weights=masses * positive) / totals
    fitted = optimize.isotonic_regression(shares, weights=totals).x
    # The ends of each level carry the function: what lies between them is interpolated to the same value.
    ends = np.r_[True, np.diff(fitted) > 0] | np.r_[np.diff(fitted) > 0, True]
    return IsotonicMap(tuple(distinct[ends].tolist()), tuple(np.clip(fitted[ends], 0.0, 1.0).tolist()))
