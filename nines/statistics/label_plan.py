"""One round of labelling: which items of a pool, with which probabilities, by which method."""

from __future__ import annotations

import dataclasses
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

from nines.errors import ConfigError, nearest
from nines.statistics.checks import finite_vector, weights_or_ones
from nines.statistics.estimate import NoEstimateError
from nines.statistics.gamma_interval import gamma_interval
from nines.statistics.oasis import draw_distribution, stratum_rates
from nines.statistics.score_strata import neyman_allocation, score_strata
from nines.statistics.selection import capped_in_proportion, draw, selection_probabilities
from nines.statistics.weighted_rates import expected_weight

Method = Literal["uniform", "proportional", "neyman", "oasis"]
METHODS: tuple[Method, ...] = get_args(Method)

_SMALLEST = 1e-9


@dataclasses.dataclass(frozen=True)
class LabelPlan:
    """What to label in one round.

    Attributes:
        drawn: Places of the drawn items in the pool, ascending.
        probabilities: Inclusion probability of every item of the pool in this round, `(N,)`; 0 for those labelled
            before and those without a share.
        strata: Score stratum of every item, `(N,)`.
        heaviest: Largest share over probability that an item of this round could have.
        expected_weight: What a failure weighs on average if the scores are right.
    """

    drawn: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    strata: NDArray[np.int64]
    heaviest: float
    expected_weight: float

    def expected_interval(self, rate: float, *, confidence: float = 0.95) -> tuple[float, float]:
        """The interval to expect if the pool fails at `rate` and failures lie where the scores say."""
        lower, upper = gamma_interval(
            rate, rate * self.expected_weight, next_weight=self.expected_weight, confidence=confidence
        )
        return float(lower), min(float(upper), 1.0)


def plan_round(
    failure_chances: ArrayLike,
    *,
    budget: int,
    method: Method,
    seed: int,
    shares: ArrayLike | None = None,
    labelled: ArrayLike | None = None,
    events: ArrayLike | None = None,
    floor: float = 0.3,
    strata: int = 10,
) -> LabelPlan:
    """Decide on probabilities and draw.

    - `uniform`: in proportion to the shares; what every other method is compared with.
    - `proportional`: to share times the root of the failure chance, item by item (`selection_probabilities`).
    - `neyman`: the same by strata of the score, all items of a stratum alike but for their shares.
    - `oasis`: by strata too, from posterior failure rates that scores begin and labels correct (`draw_distribution`);
      meant for several rounds.

    With earlier labels every method corrects the failure chances of a stratum by what was found in it.

    Args:
        failure_chances: How likely a failure each item is, `(N,)`, in [0, 1].
        budget: Labels of this round.
        method: As above.
        seed: Of the draw.
        shares: What part of the pool each is, `(N,)`; None for equal ones. Items of share 0 are left out.
        labelled: Which have a label from an earlier round, `(N,)`; they are not drawn again.
        events: Which of these are failures, `(N,)`.
        floor: Part of the budget that ignores the scores, in (0, 1].
        strata: Number of strata at most.

    Raises:
        ConfigError: The method is unknown, or the budget or floor out of range.
        NoEstimateError: Nothing is left to label.
        ValueError: Shapes differ or values are out of range.
    """
    if method not in METHODS:
        raise ConfigError(f"method {method!r} is unknown; {nearest(method, METHODS)}")
    if not 0.0 < floor <= 1.0:
        raise ConfigError(f"floor must lie in (0, 1], got {floor}: without one a failure may be beyond any draw")
    chances = finite_vector(failure_chances, "failure_chances")
    parts = weights_or_ones(shares, len(chances))
    known = np.zeros(len(chances), dtype=bool) if labelled is None else np.asarray(labelled, dtype=bool)
    failed = known & (np.zeros(len(chances), dtype=bool) if events is None else np.asarray(events, dtype=bool))
    open_items = np.flatnonzero(~known & (parts > 0))
    if not len(open_items):
        raise NoEstimateError("every item that counts is labelled: nothing is left to draw")
    if not 1 <= budget <= len(open_items):
        raise ConfigError(f"the budget must lie between 1 and the {len(open_items)} items left to label, got {budget}")
    group = score_strata(chances, count=strata, shares=parts)
    count = int(group.max()) + 1
    labels, found = np.bincount(group, weights=known, minlength=count), np.bincount(group, failed, minlength=count)
    prior = np.bincount(group, weights=chances, minlength=count) / np.maximum(np.bincount(group, minlength=count), 1)
    rates = stratum_rates(prior, found, labels)
    likely = np.clip(chances * (rates / np.maximum(prior, _SMALLEST))[group], _SMALLEST, 1.0)
    probabilities = np.zeros(len(chances))
    probabilities[open_items] = _probabilities(
        likely[open_items], parts[open_items], group[open_items], rates, budget=budget, method=method, floor=floor
    )
    taken = probabilities[open_items]
    return LabelPlan(
        drawn=draw(probabilities, np.random.default_rng(seed)),
        probabilities=probabilities,
        strata=group,
        heaviest=float((parts[open_items] / taken).max()),
        expected_weight=expected_weight(taken, likely[open_items], shares=parts[open_items]),
    )


def _probabilities(
    likely: NDArray[np.float64],
    parts: NDArray[np.float64],
    group: NDArray[np.int64],
    rates: NDArray[np.float64],
    *,
    budget: int,
    method: Method,
    floor: float,
) -> NDArray[np.float64]:
    """Inclusion probabilities of the items that are left, summing to the budget."""
    if method == "uniform":
        return capped_in_proportion(parts, total=budget)
    if method == "proportional":
        return selection_probabilities(likely, budget=budget, shares=parts, floor=floor)
    mass = np.bincount(group, weights=parts, minlength=len(rates)) / parts.sum()
    if method == "oasis":
        wanted = draw_distribution(mass, rates, epsilon=floor)
    else:
        sizes = np.bincount(group, minlength=len(rates))
        even = np.floor(floor * budget * mass)
        spread = np.where(sizes > 0, mass / np.maximum(sizes, 1), 0.0) * np.sqrt(rates * (1.0 - rates))
        rest = budget - int(even.sum())
        wanted = even + neyman_allocation(sizes, spread, budget=rest, least=0)
    return capped_in_proportion((wanted / np.maximum(mass, _SMALLEST))[group] * parts, total=budget)


def shifted_to_rate(failure_chances: ArrayLike, *, rate: float, shares: ArrayLike | None = None) -> NDArray[np.float64]:
    """Failure chances whose log-odds are moved together until their weighted mean is `rate`.

    A classifier that was trained with more failures than there are in the pool gives too high chances; under a shift of
    the prior alone this is the exact correction (Saerens, Latinne and Decaestecker 2002, eq. 4).

    Args:
        failure_chances: In [0, 1], `(N,)`.
        rate: Wanted mean, in (0, 1).
        shares: What part of the pool each is, `(N,)`; None for equal ones.

    Raises:
        ConfigError: `rate` lies outside (0, 1).
        ValueError: Shapes differ or values are out of range.
    """
    if not 0.0 < rate < 1.0:
        raise ConfigError(f"the rate must lie in (0, 1), got {rate}")
    values = finite_vector(failure_chances, "failure_chances")
    if ((values < 0) | (values > 1)).any():
        raise ValueError("failure_chances must lie in [0, 1]")
    parts = weights_or_ones(shares, len(values))
    scores = logit(np.clip(values, 1e-12, 1 - 1e-12))
    low, high = -80.0, 80.0
    for _ in range(60):
        middle = (low + high) / 2
        if (parts * expit(scores + middle)).sum() > rate * parts.sum():
            high = middle
        else:
            low = middle
    return np.asarray(expit(scores + low), dtype=np.float64)
