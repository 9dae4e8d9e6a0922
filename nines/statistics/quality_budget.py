"""The most conservative threshold whose filtered policy keeps its quality, and that quality from judged pairs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from nines.statistics.checks import finite_vector, weights_or_ones
from nines.statistics.chosen_threshold import FRESH_ROWS, ChosenThreshold
from nines.statistics.estimate import Estimate, NoEstimateError

RULE: Final = "quality_budget"
By = Literal["lower", "estimate"]
EVEN: Final = 0.5

QUALITY_ASSUMPTIONS = (
    "Quality is P(filtered is better) + ½ P(tie) against the unfiltered policy, as the readers of these pairs judge "
    "it, on prompts like these.",
    "Selection is first-accepted with a fixed threshold; the pairs were chosen for judging without a look at scores.",
    FRESH_ROWS,
)


def threshold_at_quality_budget(
    quality: Callable[[float], Estimate],
    candidates: ArrayLike,
    *,
    loss: float,
    by: By = "lower",
    assumptions: Sequence[str] = QUALITY_ASSUMPTIONS,
) -> ChosenThreshold:
    """The lowest threshold whose filtered policy is judged at least as good in `50 % - loss` of comparisons.

    - `lower`: thresholds are tested from the highest down, each passes if the lower end of its interval is at least
      `½ - loss`, and the search ends at the first that does not (fixed sequence testing; Bauer 1991; Angelopoulos,
      Bates, Candès, Jordan and Lei 2021, "Learn then test", section 4.2). So the quality of the chosen one is below
      `½ - loss` with a probability of at most `(1 - confidence) / 2`, however many candidates there are and however
      quality depends on the threshold, as long as each interval holds and the candidates are fixed beforehand.
    - `estimate`: the lowest threshold whose point estimate is at least `½ - loss`. Promises nothing: the one that is
      lucky wins.

    Args:
        quality: Quality of the filtered policy against the unfiltered at a threshold, in [0, 1], with its interval.
        candidates: Thresholds, `(k,)`, not chosen by the judgements.
        loss: What quality may cost, in (0, ½).
        by: Which of the two.
        assumptions: What the intervals of `quality` assume.

    Raises:
        NoEstimateError: Not even the highest candidate passes.
        ValueError: `loss` is out of range, or there is no candidate.
    """
    if not 0.0 < loss < EVEN:
        raise ValueError(f"loss must lie in (0, 0.5), got {loss}")
    if by not in get_args(By):
        raise ValueError(f"by must be lower or estimate, got {by!r}")
    thresholds = np.unique(finite_vector(candidates, "candidates"))[::-1]
    if len(thresholds) == 0:
        raise ValueError("there is no candidate to choose from")
    chosen: tuple[float, Estimate] | None = None
    first: Estimate | None = None
    for threshold in thresholds:
        found = quality(float(threshold))
        first = first or found
        passes = (found.lower if by == "lower" else found.estimate) >= EVEN - loss
        if passes:
            chosen = float(threshold), found
        elif by == "lower":
            break
    if chosen is None:
        raise NoEstimateError(
            f"quality {first} at the highest threshold {thresholds[0]:.4g} is not shown to reach {EVEN - loss:g}; "
            "judge more pairs, or allow a larger quality_loss"
        )
    threshold, found = chosen
    error = (1.0 - found.confidence) / 2.0
    promise = (
        f"With probability {1 - error:g} over the judged pairs, the filtered policy is judged at least as good as the "
        f"unfiltered in {EVEN - loss:g} of comparisons, ties half."
        if by == "lower"
        else f"None: quality was estimated to be at least {EVEN - loss:g} on the very pairs that chose the threshold."
    )
    return ChosenThreshold(
        threshold=threshold,
        rule=RULE,
        settings={"quality_loss": loss, **({"confidence": 1.0 - error} if by == "lower" else {})},
        guarantee=f"{promise} Nothing is promised of the false negative rate.",
        assumptions=tuple(assumptions),
        items=found.items,
        prompts=found.items,
        effective_items=found.effective_items,
        observed={"quality": found.estimate, "quality_lower": found.lower, "quality_upper": found.upper},
    )


class FilteredQuality:
    """Quality of first-accepted selection at any threshold, from base completions of which some pairs were judged.

    Take a prompt with m independent completions of the base policy, K of which a threshold accepts. Let the filtered
    policy return the first accepted of at most m tries. Held against an unfiltered completion U, its quality is

        ½ P(U accepted) + P(U rejected, one of m - 1 further tries accepted) P(accepted beats rejected, ties half):

    where both are accepted they are exchangeable and count one half without a judgement, and giving up counts as
    lost. Unbiased for the first part is `½ K / m`; for the second, from a judged pair chosen at random,
    `½ (m - 1) / K` times the accepted one's share of the judgement if exactly one of the two is accepted, else 0
    (with j further accepted ones among the m - 2 others, `E[(m - 1) / (1 + j)] = (1 - (1 - a)**(m - 1)) / a`).
    Quality is the weighted mean over prompts, its interval Student's over prompts, so it needs some tens of them.

    Args:
        scores: Scores of independent base completions, `(n,)`.
        prompts: Prompt of each, `(n,)`, any comparable values.
        pairs: Places of the two completions of each judged pair among them, `(p, 2)`.
        preferences: Share of the judgement that the first of each pair got: 1, ½ for a tie, 0, `(p,)`.
        prompt_weights: Weight of each completion's prompt, equal within a prompt, `(n,)`; None weighs all the same.
        confidence: Of the two-sided intervals, in (0, 1).

    Raises:
        NoEstimateError: Fewer than two prompts have a judged pair.
        ValueError: Shapes differ, a pair is of two prompts or of one completion, or a share lies outside [0, 1].
    """

    def __init__(
        self,
        scores: ArrayLike,
        prompts: ArrayLike,
        *,
        pairs: ArrayLike,
        preferences: ArrayLike,
        prompt_weights: ArrayLike | None = None,
        confidence: float = 0.95,
    ) -> None:
        values = finite_vector(scores, "scores")
        places = np.asarray(pairs, dtype=np.int64)
        if places.ndim != 2 or places.shape[1] != 2:
            raise ValueError(f"pairs must have shape (p, 2), got {places.shape}")
        shares = finite_vector(preferences, "preferences", length=len(places))
        if ((shares < 0) | (shares > 1)).any():
            raise ValueError("preferences must lie in [0, 1]")
        group = np.unique(np.asarray(prompts), return_inverse=True)[1]
        if len(group) != len(values):
            raise ValueError(f"{len(values)} scores do not fit {len(group)} prompts")
        if (group[places[:, 0]] != group[places[:, 1]]).any() or (places[:, 0] == places[:, 1]).any():
            raise ValueError("a pair must be two completions of one prompt")
        self._values, self._group, self._places, self._shares = values, group, places, shares
        self._pair_group = group[places[:, 0]]
        self._draws = np.bincount(group)
        self._judged = np.bincount(self._pair_group, minlength=len(self._draws))
        weights = np.zeros(len(self._draws))
        weights[group] = weights_or_ones(prompt_weights, len(values))
        self._weights = np.where(self._judged > 0, weights, 0.0)
        self.confidence = confidence
        if (self._weights > 0).sum() < 2:
            raise NoEstimateError("quality needs judged pairs of at least two prompts")

    def __call__(self, threshold: float) -> Estimate:
        """Quality of the policy filtered at `threshold`, and its interval over prompts."""
        accepted = self._values < threshold
        kept = np.bincount(self._group, weights=accepted, minlength=len(self._draws))
        one, other = accepted[self._places[:, 0]], accepted[self._places[:, 1]]
        won = np.where(one & ~other, self._shares, 0.0) + np.where(other & ~one, 1.0 - self._shares, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = np.bincount(self._pair_group, weights=won, minlength=len(self._draws)) / self._judged
            part = np.where(kept > 0, EVEN * (self._draws - 1) / kept * mean, 0.0)
        each = EVEN * kept / self._draws + part
        return self._mean(each)

    def _mean(self, each: NDArray[np.float64]) -> Estimate:
        counted = self._weights > 0
        masses = self._weights[counted] / self._weights[counted].sum()
        estimate = float(masses @ each[counted])
        count = len(masses)
        variance = count / (count - 1) * float(np.square(masses * (each[counted] - estimate)).sum())
        reach = float(stats.t.ppf((1.0 + self.confidence) / 2.0, count - 1)) * math.sqrt(variance)
        return Estimate(
            estimate=estimate,
            lower=estimate - reach,
            upper=estimate + reach,
            confidence=self.confidence,
            method="first accepted of m, Student over prompts",
            items=count,
            effective_items=float(1.0 / np.square(masses).sum()),
        )
