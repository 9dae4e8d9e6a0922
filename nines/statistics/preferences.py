"""How well predicted preferences fit judged ones: accuracy beside two readers' agreement, calibration, length."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from nines.statistics.checks import finite_vector
from nines.statistics.comparisons import TIE, JudgedPairs, ReaderAgreement, reader_agreement
from nines.statistics.rates import RateEstimate, estimate_rate

SIMULATIONS = 2000
SMALLEST = 1e-12


@dataclasses.dataclass(frozen=True)
class CalibrationBin:
    """One bin of a reliability diagram (Murphy and Winkler 1977).

    Attributes:
        lower: Lower end of the predicted probability.
        upper: Upper end.
        predicted: Mean predicted probability that the favourite wins; NaN in an empty bin.
        observed: How often the favourite won, with its interval clustered by prompt.
    """

    lower: float
    upper: float
    predicted: float
    observed: RateEstimate


@dataclasses.dataclass(frozen=True)
class Calibration:
    """The reliability diagram of the predicted favourite over decided pairs.

    A pair's favourite is the completion with the higher score, so probabilities run from ½ to 1 and the order of
    presentation plays no part.

    Attributes:
        bins: Of equal width.
        error: Expected calibration error (Naeini et al. 2015): mean distance of predicted and observed, by pairs.
        error_by_chance: What the error would be on average if the predictions were exactly right: few pairs in a bin
            never match. An error that is not above `error_by_chance_upper` shows no miscalibration.
        error_by_chance_upper: The 95th percentile of that.
    """

    bins: tuple[CalibrationBin, ...]
    error: float
    error_by_chance: float
    error_by_chance_upper: float


@dataclasses.dataclass(frozen=True)
class PreferenceEvaluation:
    """Figures of one set of scores on one set of judged pairs. Rates are over pairs, clustered by prompt.

    Attributes:
        accuracy: Of the pairs with a preference, how often the preferred completion scores higher. Equal scores count
            as wrong.
        by_clarity: The same by the lowest clarity among a pair's readings.
        against_one_reader: Of the pairs read at least twice, how often the scores side with a single reading that has a
            preference: to be held against `readers.decided`, which is the same figure for another reader.
        readers: How often readers agree.
        shorter_preferred: Accuracy where the shorter completion is preferred.
        longer_preferred: Accuracy where the longer one is. Scores that measure length alone have 1 and 0, or 0 and 1.
        length_correlation: Spearman's rank correlation of the differences in score and in length; NaN if undefined.
        log_loss: Mean cross-entropy in nats, a tie being half a win; a coin has `log 2 = 0.693`.
        brier: Mean squared distance of P(first) + ½ P(tie) from the share of a win; a coin has about 0.25.
        ties_predicted: Mean P(tie).
        ties_observed: Share of readings that are ties.
        calibration: Of the predicted favourite.
    """

    accuracy: RateEstimate
    by_clarity: dict[int, RateEstimate]
    against_one_reader: RateEstimate
    readers: ReaderAgreement
    shorter_preferred: RateEstimate
    longer_preferred: RateEstimate
    length_correlation: float
    log_loss: float
    brier: float
    ties_predicted: float
    ties_observed: float
    calibration: Calibration

    def scalars(self) -> dict[str, float]:
        """Flat figures for loggers, without those that are NaN."""
        values = {
            "accuracy": self.accuracy.estimate,
            "accuracy_lower": self.accuracy.lower,
            "accuracy_upper": self.accuracy.upper,
            "accuracy_against_one_reader": self.against_one_reader.estimate,
            "reader_agreement": self.readers.decided.estimate,
            "reader_agreement_lower": self.readers.decided.lower,
            "reader_agreement_upper": self.readers.decided.upper,
            "accuracy_where_shorter_preferred": self.shorter_preferred.estimate,
            "accuracy_where_longer_preferred": self.longer_preferred.estimate,
            "length_correlation": self.length_correlation,
            "log_loss": self.log_loss,
            "brier": self.brier,
            "calibration_error": self.calibration.error,
            "calibration_error_by_chance": self.calibration.error_by_chance,
            "ties_predicted": self.ties_predicted,
            "ties_observed": self.ties_observed,
            **{f"accuracy_clarity_{clarity}": rate.estimate for clarity, rate in self.by_clarity.items()},
        }
        return {name: value for name, value in values.items() if not math.isnan(value)}

    def as_json(self) -> dict[str, Any]:
        """Everything as JSON values, null for what is not a number."""
        return {name: _plain(getattr(self, name)) for name in self.__dataclass_fields__}

    def table(self) -> str:
        """The rates in Markdown, with 95 % intervals."""
        rows = {
            "accuracy": self.accuracy,
            **{f"accuracy, clarity {clarity}": rate for clarity, rate in sorted(self.by_clarity.items())},
            "accuracy where the shorter is preferred": self.shorter_preferred,
            "accuracy where the longer is preferred": self.longer_preferred,
            "against one reader, pairs read twice": self.against_one_reader,
            "another reader against one reader": self.readers.decided,
            "two readers, ties included": self.readers.all_pairs,
        }
        lines = [f"| {name} | {rate} | {rate.items} |" for name, rate in rows.items()]
        return "\n".join(["| figure | % [95 % interval] | items |", "|---|---|---|", *lines])


def evaluate_preferences(
    differences: ArrayLike,
    probabilities: ArrayLike,
    pairs: JudgedPairs,
    *,
    bins: int = 5,
    confidence: float = 0.95,
    seed: int = 0,
) -> PreferenceEvaluation:
    """Hold predictions against judgements.

    Args:
        differences: Score of the first completion minus that of the second, `(n,)`.
        probabilities: P(first), P(tie), P(second), `(n, 3)`, rows summing to 1.
        pairs: The judgements.
        bins: Of the reliability diagram, at least 1.
        confidence: Wanted coverage of the intervals in (0, 1).
        seed: Of the simulation behind `Calibration.error_by_chance`.

    Raises:
        ValueError: Shapes differ, values are not finite, or probabilities are none.
    """
    gaps = finite_vector(differences, "differences", length=len(pairs))
    chances = np.asarray(probabilities, dtype=np.float64)
    if chances.shape != (len(pairs), 3) or not np.allclose(chances.sum(axis=1), 1.0, atol=1e-4):
        raise ValueError(f"probabilities must be ({len(pairs)}, 3) with rows that sum to 1, got {chances.shape}")
    right = np.sign(gaps) == pairs.outcomes
    decided = pairs.outcomes != TIE

    def accuracy(among: NDArray[np.bool_]) -> RateEstimate:
        weights = (decided & among).astype(np.float64)
        return estimate_rate(right, pairs.prompts, weights=weights, confidence=confidence)

    longer = np.sign(pairs.lengths[:, 0] - pairs.lengths[:, 1])
    lowest = np.where(pairs.read, pairs.clarity, np.inf).min(axis=1, initial=np.inf)
    predicted, target = chances[:, 0] + 0.5 * chances[:, 1], pairs.targets
    clipped = np.clip(predicted, SMALLEST, 1 - SMALLEST)
    return PreferenceEvaluation(
        accuracy=accuracy(np.ones(len(pairs), dtype=np.bool_)),
        by_clarity={int(c): accuracy(lowest == c) for c in np.unique(lowest[decided]) if 0 < c < np.inf},
        against_one_reader=_against_one_reader(gaps, pairs, confidence=confidence),
        readers=reader_agreement(pairs, confidence=confidence),
        shorter_preferred=accuracy(longer == -pairs.outcomes),
        longer_preferred=accuracy(longer == pairs.outcomes),
        length_correlation=_rank_correlation(gaps, pairs.lengths[:, 0] - pairs.lengths[:, 1]),
        log_loss=float(-(target * np.log(clipped) + (1 - target) * np.log1p(-clipped)).mean()),
        brier=float(np.square(predicted - target).mean()),
        ties_predicted=float(chances[:, 1].mean()),
        ties_observed=float((pairs.shares * (pairs.readings == TIE)).sum(axis=1).mean()),
        calibration=calibrate(chances[decided], pairs.outcomes[decided], pairs.prompts[decided], bins=bins, seed=seed),
    )


def calibrate(
    probabilities: NDArray[np.float64],
    outcomes: NDArray[np.int8],
    prompts: NDArray[np.int64],
    *,
    bins: int = 5,
    seed: int = 0,
) -> Calibration:
    """The reliability diagram of decided pairs; probabilities are taken given that there is no tie.

    Args:
        probabilities: P(first), P(tie), P(second), `(n, 3)`.
        outcomes: 1 or -1, `(n,)`.
        prompts: Cluster of each pair, `(n,)`.
        bins: Of equal width on [½, 1], at least 1.
        seed: Of the simulation.

    Raises:
        ValueError: `bins` is below 1.
    """
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    first = probabilities[:, 0] / np.maximum(probabilities[:, 0] + probabilities[:, 2], SMALLEST)
    favoured = np.maximum(first, 1 - first)
    # At exactly ½ neither is favoured; the first is taken, so that nothing but the data decides.
    won = np.where(first >= 0.5, outcomes > 0, outcomes < 0)
    group = np.minimum(((favoured - 0.5) * 2 * bins).astype(np.int64), bins - 1)
    edges = np.linspace(0.5, 1.0, bins + 1)
    found = tuple(
        CalibrationBin(
            lower=float(edges[index]),
            upper=float(edges[index + 1]),
            predicted=float(favoured[group == index].mean()) if (group == index).any() else math.nan,
            observed=estimate_rate(won, prompts, weights=(group == index).astype(np.float64)),
        )
        for index in range(bins)
    )
    if len(outcomes) == 0:
        return Calibration(bins=found, error=math.nan, error_by_chance=math.nan, error_by_chance_upper=math.nan)
    draws = np.random.default_rng(seed).random((SIMULATIONS, len(favoured))) < favoured
    chance = np.array([_calibration_error(favoured, draw, group, bins) for draw in draws])
    return Calibration(
        bins=found,
        error=_calibration_error(favoured, won, group, bins),
        error_by_chance=float(chance.mean()),
        error_by_chance_upper=float(np.quantile(chance, 0.95)),
    )


def _calibration_error(
    predicted: NDArray[np.float64], won: NDArray[np.bool_], group: NDArray[np.int64], bins: int
) -> float:
    return float(np.abs(np.bincount(group, weights=predicted - won, minlength=bins)).sum() / len(predicted))


def _against_one_reader(gaps: NDArray[np.float64], pairs: JudgedPairs, *, confidence: float) -> RateEstimate:
    rows, places = np.nonzero(pairs.read & (pairs.read.sum(axis=1, keepdims=True) > 1))
    reading = pairs.readings[rows, places]
    return estimate_rate(
        np.sign(gaps[rows]) == reading,
        pairs.prompts[rows],
        weights=np.where(reading != TIE, 1.0 / pairs.read.sum(axis=1)[rows], 0.0),
        confidence=confidence,
    )


def _rank_correlation(first: NDArray[np.float64], second: NDArray[np.int64]) -> float:
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan
    return float(stats.spearmanr(first, second).statistic)


def _plain(value: Any) -> Any:
    if isinstance(value, RateEstimate):
        return value.as_json()
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
