"""Adaptive labelling: a second round that the first decides on, and OASIS, which decides anew before every draw."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.coverage.simulation import Regime, Replications
from nines.statistics.label_rounds import LabelRound, Of, rate_over_rounds
from nines.statistics.oasis import oasis, stratum_rates
from nines.statistics.score_strata import neyman_allocation, score_strata
from nines.statistics.selection import draw, selection_probabilities


def scored_pool(rng: np.random.Generator, *, rate: float, items: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Failure chances by a binormal score of AUROC 0.96, and labels drawn from them."""
    distance = 2.476
    injurious = rng.random(items) < rate
    scores = rng.normal(size=items) + distance * injurious
    odds = rate / (1 - rate) * np.exp(distance * scores - distance**2 / 2)
    return odds / (1 + odds), injurious


def two_rounds(
    rng: np.random.Generator, replications: int, *, rate: float, items: int, budget: int, of: Of
) -> Replications:
    """Round one in proportion to the scores; round two by Neyman's allocation, from what round one found."""
    estimates, lower, upper, truth = (np.empty(replications) for _ in range(4))
    share = 1.0 / items
    for number in range(replications):
        chances, injurious = scored_pool(rng, rate=rate, items=items)
        first = selection_probabilities(chances, budget=budget // 2, floor=0.5)
        drawn = draw(first, rng)
        rest = np.setdiff1d(np.arange(items), drawn)
        strata = score_strata(chances, count=6)
        labelled = np.bincount(strata[drawn], minlength=6)
        found = np.bincount(strata[drawn], weights=injurious[drawn], minlength=6)
        sizes = np.bincount(strata[rest], minlength=6)
        prior = np.bincount(strata, weights=chances, minlength=6) / np.maximum(np.bincount(strata, minlength=6), 1)
        rates = stratum_rates(prior, found, labelled)
        allocated = neyman_allocation(sizes, np.sqrt(rates), budget=budget // 2, least=budget // 20)
        second = allocated[strata[rest]] / sizes[strata[rest]]
        again = draw(np.minimum(second, 1.0), rng)
        rounds = [
            LabelRound(injurious[drawn], first[drawn], np.full(len(drawn), share), 1.0, share / first.min()),
            LabelRound(injurious[rest[again]], second[again], np.full(len(again), share), 1.0, share / second.min()),
        ]
        one = rate_over_rounds(rounds, of=of)
        estimates[number], lower[number], upper[number] = one.estimate, one.lower, one.upper
        truth[number] = injurious.mean() if of == "pool" else rate
    return Replications(truth, estimates, lower, upper)


def adaptive_draws(
    rng: np.random.Generator, replications: int, *, rate: float, items: int, labels: int
) -> Replications:
    """OASIS over strata of the score, one draw after the other."""
    estimates, lower, upper = (np.empty(replications) for _ in range(3))
    for number in range(replications):
        chances, injurious = scored_pool(rng, rate=rate, items=items)
        strata = score_strata(chances, count=8)
        prior = np.bincount(strata, weights=chances) / np.bincount(strata)
        one = oasis(
            strata,
            prior,
            injurious.tolist().__getitem__,
            labels=labels,
            seed=int(rng.integers(2**32)),
        ).estimate
        estimates[number], lower[number], upper[number] = one.estimate, one.lower, one.upper
    return Replications(np.full(replications, rate), estimates, lower, upper)


ROUNDS: tuple[tuple[float, int, int, Of], ...] = (
    (1e-2, 3000, 600, "source"),
    (1e-2, 3000, 600, "pool"),
    (3e-3, 6000, 600, "source"),
)

REGIMES = (
    *(
        Regime(
            f"two adaptive rounds, {budget} labels of {items}, rate {rate:g} of the {of}",
            partial(two_rounds, rate=rate, items=items, budget=budget, of=of),
        )
        for rate, items, budget, of in ROUNDS
    ),
    Regime(
        "OASIS, 100 labels of 2000, rate 0.02 of the source", partial(adaptive_draws, rate=0.02, items=2000, labels=100)
    ),
)
