"""The one definition of quality, P(better) + ½ P(tie), and its interval clustered by prompt.

Everything that compares two policies by quality, in training, in evaluation and in the demo, computes it here. What
needs no label is in `nines.statistics.accepted_pairs`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nines.statistics.checks import finite_vector, weights_or_ones
from nines.statistics.estimate import Estimate, NoEstimateError
from nines.statistics.intervals import ProportionInterval, clopper_pearson, clustered_interval

EVEN = 0.5
"""Quality of a policy held against itself."""


def shares_of_outcomes(outcomes: ArrayLike) -> NDArray[np.float64]:
    """What each pair counts: 1 where the first is better (1), ½ for a tie (0), 0 where the second is (-1), `(n,)`.

    Raises:
        ValueError: An outcome is none of 1, 0, -1.
    """
    values = np.asarray(outcomes)
    if values.ndim != 1 or not np.isin(values, (1, 0, -1)).all():
        raise ValueError("outcomes must be 1, 0 or -1, with shape (n,)")
    return np.asarray((1.0 + values) / 2.0, dtype=np.float64)


def shares_of_scores(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """What each pair counts where the higher score is the better completion: 1, ½ for equal scores, or 0, `(n,)`.

    Raises:
        ValueError: Lengths differ, or a score is not finite.
    """
    own = finite_vector(first, "first")
    other = finite_vector(second, "second", length=len(own))
    return np.asarray((own > other) + 0.5 * (own == other), dtype=np.float64)


def quality(
    shares: ArrayLike,
    prompts: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Quality of one policy against another: how often its completion of a prompt is the better one, ties half.

    With `a` the weighted mean of wins `max(2 share - 1, 0)` and `b` that of losses `max(1 - 2 share, 0)`, quality is
    `(1 + a - b) / 2` (the Hájek estimate where weights are inverse probabilities). The interval joins those of `a` and
    `b` by the square-and-add rule for a difference of correlated proportions (Newcombe 1998, *Improved confidence
    intervals for the difference between binomial proportions based on paired data*, method 10; Zou and Donner 2008),

        lower: a - b - sqrt((a - a_lower)² - 2 r (a - a_lower) (b_upper - b) + (b_upper - b)²),

    with r the correlation of the two estimates over prompts. Where Newcombe takes Wilson's intervals, which dip below
    nominal coverage at extreme shares, ours are those of `clustered_interval`: Clopper and Pearson's with an effective
    number of items (Korn and Graubard 1998). So the interval keeps the limits [0, 1], and

    - without ties (r = -1) it is exactly `clustered_interval` of the share of wins; independent, equally weighted
      pairs give Clopper and Pearson's;
    - ties are information: the more there are, the narrower it is; with nothing but ties it is not of width 0, since
      the next pair may not be one;
    - a positive r, which would narrow it, is counted as 0.

    Assumes that prompts are independent draws from the prompts that the figure speaks for. Completions of one prompt
    may depend on each other. A prompt with more pairs counts more; give weights of one over its number of pairs to
    count all prompts alike.

    Args:
        shares: What the first policy got of each pair, in [0, 1]: 1 better, ½ tie, 0 worse; the mean of several
            readings or a judge's P(better) + ½ P(tie) are fine, `(n,)`.
        prompts: Prompt of each pair, any comparable values, `(n,)`.
        weights: What each pair stands for, such as one over the probability with which it was chosen, `(n,)`; pairs
            of weight 0 take no part. None counts each once.
        confidence: Nominal coverage in (0, 1).

    Returns:
        In shares of pairs; `items` counts pairs, `effective_items` the independent pairs that would be as informative
        about the rarer of wins and losses.

    Raises:
        NoEstimateError: No pair has a weight.
        ValueError: Shapes differ, a share lies outside [0, 1], or a weight is negative.
    """
    won = finite_vector(shares, "shares")
    if ((won < 0) | (won > 1)).any():
        raise ValueError("shares must lie in [0, 1]: 1 better, 0.5 tie, 0 worse")
    labels = np.asarray(prompts)
    if labels.shape != won.shape:
        raise ValueError(f"prompts must have shape {won.shape}, got {labels.shape}")
    masses = weights_or_ones(weights, len(won))
    if not (masses > 0).any():
        raise NoEstimateError("there is no pair with a positive weight, so nothing is known of quality")
    counted = masses > 0
    won, masses = won[counted], masses[counted]
    _, group = np.unique(labels[counted], return_inverse=True)
    wins, losses = np.maximum(2 * won - 1, 0.0), np.maximum(1 - 2 * won, 0.0)
    better = _rate(wins, group, masses, confidence=confidence)
    worse = _rate(losses, group, masses, confidence=confidence)
    # Every pair is decided: one rate is one minus the other, also where there is no variance to see it by.
    decided = better.estimate + worse.estimate > 1 - 1e-12
    correlation = -1.0 if decided else _correlation(wins - better.estimate, losses - worse.estimate, group, masses)
    lower, upper = _ends(
        (better.lower, better.estimate, better.upper), (worse.lower, worse.estimate, worse.upper), correlation
    )
    return Estimate(
        estimate=(1 + better.estimate - worse.estimate) / 2,
        lower=lower,
        upper=upper,
        confidence=confidence,
        method="quality, square-and-add of clustered Clopper-Pearson",
        items=len(won),
        effective_items=min(better.effective_items, worse.effective_items),
    )


def expected_ends(wins: float, losses: float, pairs: float, *, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of `quality` after exactly the expected wins and losses among independent pairs.

    Args:
        wins: Share of pairs that are wins, in [0, 1].
        losses: Share of losses; the rest are ties, known ones among them. `wins + losses` is at most 1.
        pairs: How many, a real number above 0.
        confidence: Nominal coverage in (0, 1).
    """
    # Of exclusive events; it is -1 without ties.
    scale = math.sqrt((1 - wins) * (1 - losses))
    correlation = -math.sqrt(wins * losses) / scale if scale > 0 else 0.0
    one, other = (clopper_pearson(min(share * pairs, pairs), pairs, confidence=confidence) for share in (wins, losses))
    return _ends((one[0], wins, one[1]), (other[0], losses, other[1]), correlation)


def _ends(
    better: tuple[float, float, float], worse: tuple[float, float, float], correlation: float
) -> tuple[float, float]:
    """Ends of `(1 + better - worse) / 2` from lower end, estimate and upper end of both."""
    gain = better[1] - worse[1]
    below = _joined(better[1] - better[0], worse[2] - worse[1], correlation)
    above = _joined(better[2] - better[1], worse[1] - worse[0], correlation)
    return max((1 + gain - below) / 2, 0.0), min((1 + gain + above) / 2, 1.0)


def _rate(
    parts: NDArray[np.float64], group: NDArray[np.int64], masses: NDArray[np.float64], *, confidence: float
) -> ProportionInterval:
    """Weighted mean of values in [0, 1], a fraction being split into an item that is an event and one that is not."""
    split = np.flatnonzero((parts > 0) & (parts < 1))
    if len(split) == 0:
        return clustered_interval(parts, group, weights=masses, confidence=confidence)
    events = np.concatenate([np.ceil(parts), np.zeros(len(split))])
    shared = np.concatenate([masses * np.where(parts > 0, parts, 1.0), (masses * (1 - parts))[split]])
    return clustered_interval(events, np.concatenate([group, group[split]]), weights=shared, confidence=confidence)


def _correlation(
    first: NDArray[np.float64], second: NDArray[np.float64], group: NDArray[np.int64], masses: NDArray[np.float64]
) -> float:
    """Correlation of two weighted means over clusters, from their residuals; 0 where it is positive or undefined."""
    one, other = (np.bincount(group, weights=masses * residuals) for residuals in (first, second))
    scale = math.sqrt(float(np.square(one).sum()) * float(np.square(other).sum()))
    return min(float((one * other).sum()) / scale, 0.0) if scale > 0 else 0.0


def _joined(first: float, second: float, correlation: float) -> float:
    """Length of the sum of two deviations that are correlated so, of a difference: they add up at -1."""
    return math.sqrt(max(first**2 - 2 * correlation * first * second + second**2, 0.0))
