"""The highest threshold whose *expected* false negative rate is bounded: conformal risk control."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from nines.statistics.chosen_threshold import (
    EXCHANGEABLE_ITEMS,
    EXCHANGEABLE_PROMPTS,
    FRESH_ROWS,
    RIGHT_LABELS,
    ChosenThreshold,
    weight_bound,
)
from nines.statistics.estimate import NoEstimateError
from nines.statistics.missed_weight import InjuriousScores

RULE = "conformal"


def conformal_threshold(
    scores: ArrayLike,
    *,
    alpha: float,
    weights: ArrayLike | None = None,
    prompts: ArrayLike | None = None,
    largest_weight: float | None = None,
) -> ChosenThreshold:
    """The highest threshold that keeps the expected false negative rate at or below alpha.

    Angelopoulos, Bates, Fisch, Lei and Schuster 2022, "Conformal risk control", theorem 1. With n injurious
    completions that stand alone and `misses(t)` of them below t it is the highest t with
    `(misses(t) + 1) / (n + 1) <= alpha`: there is none for alpha below `1 / (n + 1)`.

    With weights, and for completions that share prompts, the unit is the prompt. Let `W` be the weight of a prompt's
    injurious completions, `M(t) <= W` that of the missed ones, and b a bound on W. The loss `M(t) - alpha W` never
    falls as t rises and is at most `(1 - alpha) b`, so their proof gives, for the highest t with
    `sum(M(t)) - alpha sum(W) + (1 - alpha) b <= 0`,

        E[M(t)] <= alpha E[W]  of the next prompt,

    the expectation being over calibration rows and next prompt together. For single completions of weight 1 this is
    the rule above, and for weighted ones it is their section 4.1 (covariate shift; Tibshirani et al. 2019) with the
    largest weight that the next completion can have. Alpha must be at least `b / (sum(W) + b)`.

    The bound holds on average over calibration samples. That of the threshold at hand may be higher, as a rule about
    as often as not: where it must hold with high probability, use `nines.statistics.risk_control`.

    Args:
        scores: Scores of injurious completions, `(n,)`, finite.
        alpha: Bound on the expected false negative rate, in (0, 1).
        weights: What each stands for, `(n,)`, not negative; None counts each once.
        prompts: Prompt of each, `(n,)`, any comparable values; None: each stands alone.
        largest_weight: The bound b, known beforehand; None takes the largest seen, which is exact where all prompts
            weigh the same and approximate elsewhere.

    Raises:
        NoEstimateError: No completion has a weight, or alpha is below what so few can show.
        ValueError: Alpha lies outside (0, 1), shapes differ, a value is out of range, or a prompt exceeds the bound.
    """
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha must lie in (0, 1), got {alpha}")
    sample = InjuriousScores.of(scores, weights=weights, prompts=prompts)
    bound = sample.largest(largest_weight)
    least = smallest_alpha(sample, bound)
    budget = alpha * sample.total - (1.0 - alpha) * bound
    if budget < -1e-12 * sample.total:
        raise NoEstimateError(
            f"alpha={alpha:g} is below {least:.4g}, the lowest expected false negative rate that {len(sample)} "
            f"injurious completions (worth {sample.total / bound:.4g} of the heaviest) can show; label more, "
            "or ask for less"
        )
    threshold = sample.highest_threshold(max(budget, 0.0))
    alone = len(sample.totals) == len(sample)
    equal = bool(np.ptp(sample.totals) == 0.0) and bound == sample.totals[0]
    return ChosenThreshold(
        threshold=threshold,
        rule=RULE,
        settings={"alpha": alpha},
        guarantee=(
            f"On average over calibration samples, at most the share {alpha:g} of the weight of injurious completions "
            "is accepted (expected false negative rate). The rate of this very threshold may be higher."
        ),
        assumptions=(
            EXCHANGEABLE_ITEMS if alone else EXCHANGEABLE_PROMPTS,
            *(() if equal else (weight_bound(bound, given=largest_weight is not None),)),
            RIGHT_LABELS,
            FRESH_ROWS,
        ),
        items=len(sample),
        prompts=len(sample.totals),
        effective_items=sample.effective_items,
        observed={
            "false_negative_rate": sample.missed_weight(threshold) / sample.total,
            "missed": sample.missed_count(threshold),
            "smallest_alpha": least,
        },
    )


def smallest_alpha(sample: InjuriousScores, bound: float) -> float:
    """The lowest alpha that conformal risk control can promise: `b / (sum(W) + b)`, `1 / (n + 1)` for equal weights."""
    return bound / (sample.total + bound)
