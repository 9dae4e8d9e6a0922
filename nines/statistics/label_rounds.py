"""One rate from several rounds of labelling, each of which chose its items by what the earlier ones had found."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nines.statistics.checks import binary_vector, finite_vector, weights_or_ones
from nines.statistics.estimate import Estimate, NoEstimateError
from nines.statistics.gamma_interval import gamma_interval

Of = Literal["pool", "source"]
"""What a rate is of: the very items of the pool, or the endless source that the pool is an independent sample of."""


@dataclasses.dataclass(frozen=True)
class LabelRound:
    """What one round drew, from the items that no earlier round had drawn.

    Attributes:
        events: Whether each drawn item is an event, `(n,)`.
        probabilities: Inclusion probability of each in this round, `(n,)`, in (0, 1].
        shares: What part of the whole pool each is, `(n,)`.
        importance: How much the round counts, positive; only ratios between rounds count. It must not depend on
            labels: the planned number of labels is a good choice.
        heaviest: Largest share over probability of any item that this round could have drawn; None takes the largest
            that it did draw.
        clusters: Prompt of each item, `(n,)`; None takes items as independent.
    """

    events: NDArray[np.bool_]
    probabilities: NDArray[np.float64]
    shares: NDArray[np.float64]
    importance: float
    heaviest: float | None = None
    clusters: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        count = len(finite_vector(self.probabilities, "probabilities"))
        binary_vector(self.events, "events", length=count)
        weights_or_ones(self.shares, count)
        if not ((self.probabilities > 0) & (self.probabilities <= 1)).all():
            raise NoEstimateError("selection probabilities of drawn items must lie in (0, 1]")
        if not self.importance > 0:
            raise ValueError(f"the importance of a round must be positive, got {self.importance}")
        if self.clusters is not None and len(self.clusters) != count:
            raise ValueError(f"clusters must have shape ({count},), got {np.shape(self.clusters)}")


def round_weights(rounds: Sequence[LabelRound]) -> list[NDArray[np.float64]]:
    """What each labelled item stands for, as a part of the pool, one array a round; see `rate_over_rounds`."""
    counts = np.array([one.importance for one in rounds]) / sum(one.importance for one in rounds)
    later = counts[::-1].cumsum()[::-1] - counts
    return [
        one.shares * (count / one.probabilities + rest) for one, count, rest in zip(rounds, counts, later, strict=True)
    ]


def rate_over_rounds(
    rounds: Sequence[LabelRound], *, of: Of = "source", trusted_weight: float | None = None, confidence: float = 0.95
) -> Estimate:
    """Share of events in a pool after several rounds without replacement (Des Raj 1956, section 2).

    Round r estimates the whole by what is known, `sum(shares * events)` of all earlier rounds, plus what it drew,
    `sum(shares * events / probabilities)`. Given the earlier labels that is unbiased, however they decided on the
    probabilities; so is the mean over rounds with fixed importances. Errors of rounds are uncorrelated, because each
    has mean 0 given the past. One round is `nines.statistics.weighted_rates.horvitz_thompson`.

    The interval is Fay and Feuer's (`gamma_interval`) with one weight an item. Of the source, items of one cluster
    (prompt) are added up first, and the event that might have been is taken to weigh as much as the heaviest item that
    could have been drawn, or as the heaviest cluster that had an event. Of the pool, an item that was drawn with
    certainty adds nothing to the variance and others `weight**2 * (1 - probability)`, which is right for independent
    draws and conservative for a fixed number of them.

    Whether there is another round must not be decided by the estimate so far; choose budgets beforehand.

    Args:
        rounds: In the order in which they were drawn, at least one.
        of: Rate "of" the pool or its source, see above.
        trusted_weight: What a failure weighs on average if failures lie where the scores say, from
            `nines.statistics.weighted_rates.expected_weight`. It replaces the heaviest weight, and the variance is at
            least what it implies: a much shorter interval, which holds if the scores are right up to a factor. None
            trusts nothing but the probabilities.
        confidence: Nominal coverage in (0, 1).

    Raises:
        NoEstimateError: There is no round, or none drew anything.
    """
    if not rounds or not sum(len(one.events) for one in rounds):
        raise NoEstimateError("no round has a labelled item: there is nothing to estimate a rate from")
    counts = np.array([one.importance for one in rounds]) / sum(one.importance for one in rounds)
    weights = round_weights(rounds)
    happened = [one.events.astype(bool) for one in rounds]
    total = float(sum(weight[event].sum() for weight, event in zip(weights, happened, strict=True)))
    seen = float(sum(one.shares[event].sum() for one, event in zip(rounds, happened, strict=True)))
    heaviest = max(
        count * _heaviest(one) + rest
        for one, count, rest in zip(rounds, counts, _later_shares(rounds, counts), strict=True)
    )
    if of == "pool":
        # The events that were drawn are certain; the draws are uncertain about the others only.
        certain = seen
        lucky = [
            (one.shares[event] * count / one.probabilities[event]) ** 2 * (1 - one.probabilities[event])
            for one, event, count in zip(rounds, happened, counts, strict=True)
        ]
        variance = float(sum(part.sum() for part in lucky))
    else:
        certain = 0.0
        events = np.concatenate(happened)
        _, group = np.unique(_clusters(rounds)[events], return_inverse=True)
        totals = np.bincount(group, weights=np.concatenate(weights)[events])
        variance = float(np.square(totals).sum())
        heaviest = max(heaviest, float(totals.max(initial=0.0)))
    uncertain = max(total - certain, 0.0) if variance > 0 else 0.0
    variance = variance if uncertain > 0 else 0.0
    if trusted_weight is not None:
        heaviest, variance = trusted_weight, max(variance, uncertain * trusted_weight)
    lower, upper = gamma_interval(uncertain, variance, next_weight=heaviest, confidence=confidence)
    return Estimate(
        estimate=total,
        lower=min(certain + float(lower), 1.0),
        upper=min(certain + float(upper), 1.0),
        confidence=confidence,
        method="Des Raj over rounds, gamma interval" if len(rounds) > 1 else "Horvitz-Thompson, gamma interval",
        items=sum(len(one.events) for one in rounds),
        effective_items=total * max(1.0 - total, 0.0) / variance if variance > 0 else 1.0 / heaviest,
    )


def _heaviest(one: LabelRound) -> float:
    if one.heaviest is not None:
        return one.heaviest
    return float((one.shares / one.probabilities).max(initial=0.0))


def _later_shares(rounds: Sequence[LabelRound], counts: NDArray[np.float64]) -> list[float]:
    """What the heaviest item of each round adds in the rounds after it, in which it is known."""
    later = counts[::-1].cumsum()[::-1] - counts
    return [float(rest) * float(one.shares.max(initial=0.0)) for one, rest in zip(rounds, later, strict=True)]


def _clusters(rounds: Sequence[LabelRound]) -> NDArray[np.int64]:
    """Prompts of all items; rounds without them get numbers of their own."""
    given = [one.clusters for one in rounds]
    if all(one is None for one in given):
        return np.arange(sum(len(one.events) for one in rounds))
    if any(one is None for one in given):
        raise ValueError("either every round names its clusters or none")
    return np.concatenate([np.asarray(one) for one in given])
