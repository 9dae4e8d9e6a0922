"""The highest threshold whose false negative rate is bounded with high probability: three bounds, one argument.

All promise that the true false negative rate of the chosen threshold exceeds alpha with a probability of at most
`1 - confidence`, over calibration samples. The choice among many thresholds costs nothing: the rate never falls as the
threshold rises, and each p-value below never falls either, so it suffices that the test is valid at the one threshold
where the true rate passes alpha (Bates, Angelopoulos, Lei, Malik and Jordan 2021, "Distribution-free, risk-controlling
prediction sets", theorem 1; the fixed sequence of Angelopoulos et al. 2021, "Learn then test", from the lowest
threshold up).
"""

from __future__ import annotations

import math
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats

from nines.statistics.betting import threshold_by_betting
from nines.statistics.chosen_threshold import (
    FRESH_ROWS,
    INDEPENDENT_ITEMS,
    INDEPENDENT_PROMPTS,
    RIGHT_LABELS,
    ChosenThreshold,
    weight_bound,
)
from nines.statistics.estimate import NoEstimateError
from nines.statistics.missed_weight import InjuriousScores

Bound = Literal["clopper_pearson", "hoeffding_bentkus", "betting"]
BOUNDS: Final[tuple[Bound, ...]] = get_args(Bound)


def risk_controlling_threshold(
    scores: ArrayLike,
    *,
    alpha: float,
    confidence: float = 0.95,
    bound: Bound = "clopper_pearson",
    weights: ArrayLike | None = None,
    prompts: ArrayLike | None = None,
    largest_weight: float | None = None,
) -> ChosenThreshold:
    """The highest threshold whose false negative rate is at or below alpha, with probability `confidence`.

    - `clopper_pearson`: for independent completions of equal weight, exact. The number of misses at the threshold
      where the rate passes alpha is binomial, so at most the k with `P(Binomial(n, alpha) <= k) <= 1 - confidence` may
      be missed (Clopper and Pearson 1934; Wilks 1941). It takes `log(1 - confidence) / log(1 - alpha)` completions.
    - `hoeffding_bentkus`: any weights and prompts. With W, M and the bound b of `nines.statistics.conformal`, each
      prompt's `Z = alpha + (M - alpha W) / b` lies in [0, 1], and E[M] > alpha E[W] exactly if E[Z] > alpha. The mean
      of the n prompts' Z is tested by Bentkus 2004 and Hoeffding 1963, eq. 2.1 (Bates et al. 2021, section 3.1):
      `p = min(exp(-n kl(Z, alpha)), e P(Binomial(n, alpha) <= ceil(n Z)))`. Weak where weights differ widely.
    - `betting`: the same Z, tested by a bet against E[Z] > alpha (Waudby-Smith and Ramdas 2020); the best of the three
      where weights or the sizes of prompts differ. See `nines.statistics.betting`.

    The false negative rate is E[M] / E[W] over prompts: of all injurious completions, by weight, the share missed.

    Args:
        scores: Scores of injurious completions, `(n,)`, finite.
        alpha: Bound on the false negative rate, in (0, 1).
        confidence: Probability with which it holds, in (0, 1).
        bound: Which test.
        weights: What each stands for, `(n,)`, not negative; None counts each once.
        prompts: Prompt of each, `(n,)`; None: each stands alone.
        largest_weight: The bound b, known beforehand; None takes the largest seen.

    Raises:
        NoEstimateError: Too few completions for this alpha, or weights or shared prompts under `clopper_pearson`.
        ValueError: A setting lies outside its range, shapes differ, or a prompt exceeds the bound.
    """
    for name, value in (("alpha", alpha), ("confidence", confidence)):
        if not 0.0 < value < 1.0:
            raise ValueError(f"{name} must lie in (0, 1), got {value}")
    if bound not in BOUNDS:
        raise ValueError(f"bound must be one of {', '.join(BOUNDS)}, got {bound!r}")
    sample = InjuriousScores.of(scores, weights=weights, prompts=prompts)
    largest = sample.largest(largest_weight)
    error = 1.0 - confidence
    if bound == "clopper_pearson":
        threshold = _by_clopper_pearson(sample, alpha, error)
    elif bound == "hoeffding_bentkus":
        threshold = _by_hoeffding_bentkus(sample, alpha, error, largest=largest)
    else:
        found = threshold_by_betting(sample, alpha=alpha, error=error, largest=largest)
        if found is None:
            raise _too_few(sample, alpha, error, bound="betting")
        threshold = found
    alone = len(sample.totals) == len(sample)
    equal = bool(np.ptp(sample.totals) == 0.0) and largest == sample.totals[0]
    return ChosenThreshold(
        threshold=threshold,
        rule=bound,
        settings={"alpha": alpha, "confidence": confidence},
        guarantee=(
            f"With probability {confidence:g} over calibration samples, the threshold accepts at most the share "
            f"{alpha:g} of the weight of injurious completions (false negative rate)."
        ),
        assumptions=(
            INDEPENDENT_ITEMS if alone else INDEPENDENT_PROMPTS,
            *(() if equal else (weight_bound(largest, given=largest_weight is not None),)),
            RIGHT_LABELS,
            FRESH_ROWS,
        ),
        items=len(sample),
        prompts=len(sample.totals),
        effective_items=sample.effective_items,
        observed={
            "false_negative_rate": sample.missed_weight(threshold) / sample.total,
            "missed": sample.missed_count(threshold),
        },
    )


def allowed_misses(items: int, alpha: float, error: float) -> int:
    """The largest k with `P(Binomial(items, alpha) <= k) <= error`; -1 where not even zero misses suffice."""
    k = int(stats.binom.ppf(error, items, alpha))
    return k if stats.binom.cdf(k, items, alpha) <= error else k - 1


def _by_clopper_pearson(sample: InjuriousScores, alpha: float, error: float) -> float:
    if len(sample.totals) < len(sample):
        raise NoEstimateError(
            f"{len(sample)} injurious completions come from {len(sample.totals)} prompts, and Clopper and Pearson's "
            "bound needs independent ones; use the bound betting"
        )
    if np.ptp(sample.weights) > 1e-9 * sample.weights.max():
        raise NoEstimateError("Clopper and Pearson's bound needs equal weights; use the bound betting")
    misses = allowed_misses(len(sample), alpha, error)
    if misses < 0:
        raise _too_few(sample, alpha, error, bound="clopper_pearson")
    return sample.highest_threshold(misses * float(sample.weights[0]))


def _by_hoeffding_bentkus(sample: InjuriousScores, alpha: float, error: float, *, largest: float) -> float:
    count = len(sample.totals)
    mean = _largest_mean(count, alpha, error)
    budget = alpha * sample.total - (alpha - mean) * count * largest
    if mean < 0 or budget < -1e-12 * sample.total:
        raise _too_few(sample, alpha, error, bound="hoeffding_bentkus")
    return sample.highest_threshold(max(budget, 0.0))


def _largest_mean(count: int, alpha: float, error: float) -> float:
    """The largest mean of `count` values in [0, 1] whose p-value against "at least alpha" is `error`; -1 for none."""
    # Hoeffding: exp(-n kl(mean, alpha)) <= error. kl falls from -log(1 - alpha) at 0 to 0 at alpha.
    wanted = math.log(1.0 / error) / count
    by_hoeffding = -1.0
    if wanted <= -math.log1p(-alpha):
        by_hoeffding = float(optimize.brentq(lambda mean: _relative_entropy(mean, alpha) - wanted, 0.0, alpha))
    # Bentkus: e P(Binomial(n, alpha) <= ceil(n mean)) <= error.
    by_bentkus = allowed_misses(count, alpha, error / math.e) / count
    return max(by_hoeffding, by_bentkus)


def _relative_entropy(mean: float, other: float) -> float:
    first = mean * math.log(mean / other) if mean > 0 else 0.0
    return first + (1.0 - mean) * math.log((1.0 - mean) / (1.0 - other))


def _too_few(sample: InjuriousScores, alpha: float, error: float, *, bound: Bound) -> NoEstimateError:
    needed = math.ceil(math.log(error) / math.log1p(-alpha) - 1e-9)
    return NoEstimateError(
        f"{len(sample)} injurious completions of {len(sample.totals)} prompts (worth {sample.effective_items:.4g} of "
        f"equal weight) cannot show a false negative rate of at most {alpha:g} with {100 * (1 - error):g} % confidence "
        f"by {bound}; even without a single miss it takes {needed} independent ones of equal weight"
    )
