"""Items drawn for labelling with unequal probabilities: which interval holds where.

A pool has five classes of items. Each class has its own probability of being drawn and its own failure rate. Failures
lie where draws are frequent ("well placed", as with a good classifier), everywhere alike, where draws are rare, or only
where they are rarest ("hidden").
"""

from __future__ import annotations

import dataclasses
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.coverage.simulation import Regime, Replications
from nines.statistics.betting_interval import betting_ends
from nines.statistics.label_rounds import Of
from nines.statistics.stratified import Interval, stratified_ends
from nines.statistics.weighted_rates import expected_weight, hajek, horvitz_thompson

SIZES = np.array([0.6, 0.25, 0.1, 0.04, 0.01])
"""Part of the pool that each class is."""

SPREADS = {"equal": 1.0, "unequal": 3.0, "very unequal": 12.0}
"""Ratio of the probabilities of neighbouring classes: a weight may be 81 or 20,736 times another."""

PLACES = {
    "well placed": (1, 3, 9, 27, 81),
    "everywhere alike": (1, 1, 1, 1, 1),
    "ill placed": (25, 5, 1, 1, 1),
    "hidden": (1, 0, 0, 0, 0),
    "far from there": (0, 1, 10, 100, 1000),
}
"""Failure rate of each class, up to a factor."""


@dataclasses.dataclass(frozen=True)
class Pool:
    """Five classes, of which some 3,000 items are labelled at a rate of 1e-2, more at lower ones."""

    rate: float
    spread: str
    place: str

    @property
    def failure_rates(self) -> NDArray[np.float64]:
        """Of each class, so that the whole pool has `rate`."""
        raw = np.array(PLACES[self.place], dtype=np.float64)
        return np.asarray(self.rate * raw / (SIZES * raw).sum())

    @property
    def items(self) -> NDArray[np.int64]:
        """Of each class: 300 failures in all."""
        return np.asarray(np.round(300 / self.rate * SIZES), dtype=np.int64)

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """A tenth of the pool is labelled; probabilities are capped at 1."""
        raw = SPREADS[self.spread] ** np.arange(5.0)
        return np.asarray(np.minimum(1.0, 0.1 * raw / (SIZES * raw).sum()))


def horvitz_thompson_draws(
    rng: np.random.Generator, replications: int, *, pool: Pool, of: Of, trusting: bool = False, believed: str = ""
) -> Replications:
    """Independent draws. Items that are no failures count by their weight only, so one of each class stands for all."""
    items, chances, whole = pool.items, pool.probabilities, int(pool.items.sum())
    failures = rng.binomial(items, pool.failure_rates, size=(replications, 5))
    drawn = rng.binomial(failures, chances)
    belief = dataclasses.replace(pool, place=believed or pool.place).failure_rates
    # All items of a class together: each of them has a share of 1 / whole.
    weight = expected_weight(chances, items * belief, shares=np.full(5, 1 / whole)) if trusting else None
    found = []
    for row in drawn:
        classes = np.concatenate([np.repeat(np.arange(5), row), np.arange(5)])
        events = np.arange(len(classes)) < row.sum()
        found.append(
            horvitz_thompson(
                events, chances[classes], shares=np.full(len(classes), 1 / whole), trusted_weight=weight, of=of
            )
        )
    truth = failures.sum(axis=1) / whole if of == "pool" else np.full(replications, pool.rate)
    return Replications(
        truth,
        np.array([one.estimate for one in found]),
        np.array([one.lower for one in found]),
        np.array([one.upper for one in found]),
    )


def strata_draws(
    rng: np.random.Generator, replications: int, *, pool: Pool, of: Of, interval: Interval
) -> Replications:
    """A fixed number of each class, without replacement."""
    items = pool.items
    labelled = np.maximum(1, np.round(items * pool.probabilities)).astype(np.int64)
    failures = rng.binomial(items, pool.failure_rates, size=(replications, 5))
    events = rng.hypergeometric(failures, items - failures, labelled)
    estimates, lower, upper = stratified_ends(events, labelled, items, interval=interval, of=of)
    truth = failures.sum(axis=1) / items.sum() if of == "pool" else np.full(replications, pool.rate)
    return Replications(truth, estimates, lower, upper)


def with_replacement(rng: np.random.Generator, replications: int, *, pool: Pool, draws: int) -> Replications:
    """Independent draws from the classes, as importance sampling from an endless source makes them."""
    chances = SIZES * SPREADS[pool.spread] ** np.arange(5.0)
    chances = chances / chances.sum()
    weights = SIZES / chances
    ends = []
    for start in range(0, replications, 200):
        count = min(200, replications - start)
        classes = rng.choice(5, p=chances, size=(count, draws))
        values = weights[classes] * (rng.random((count, draws)) < pool.failure_rates[classes])
        lower, upper = betting_ends(values, largest=float(weights.max()))
        ends.append(np.stack([values.mean(axis=1), lower, upper]))
    estimates, lower, upper = np.concatenate(ends, axis=1)
    return Replications(np.full(replications, pool.rate), estimates, lower, upper)


def hajek_draws(rng: np.random.Generator, replications: int, *, pool: Pool, draws: int) -> Replications:
    """Independent draws whose pool's size is not known."""
    chances = SIZES * SPREADS[pool.spread] ** np.arange(5.0)
    chances = chances / chances.sum()
    found = []
    for _ in range(replications):
        classes = rng.choice(5, p=chances, size=draws)
        events = rng.random(draws) < pool.failure_rates[classes]
        found.append(hajek(events, (chances / SIZES / (chances / SIZES).max())[classes]))
    return Replications(
        np.full(replications, pool.rate),
        np.array([one.estimate for one in found]),
        np.array([one.lower for one in found]),
        np.array([one.upper for one in found]),
    )


def mistaken_weights(rng: np.random.Generator, replications: int, *, rate: float) -> Replications:
    """Drawn by a bug that preferred the wrong class; estimated with the probabilities that the bug really gave."""
    return horvitz_thompson_draws(rng, replications, pool=Pool(rate, "unequal", "ill placed"), of="pool")


def _pools() -> tuple[Pool, ...]:
    return tuple(
        Pool(rate, spread, place)
        for rate, spread, place in (
            (1e-2, "equal", "everywhere alike"),
            (1e-2, "unequal", "well placed"),
            (1e-2, "very unequal", "ill placed"),
            (1e-3, "unequal", "everywhere alike"),
            (1e-3, "very unequal", "well placed"),
            (1e-4, "unequal", "well placed"),
            (1e-4, "very unequal", "everywhere alike"),
            (1e-5, "unequal", "ill placed"),
            (1e-5, "very unequal", "well placed"),
        )
    )


def _named(pool: Pool) -> str:
    return f"rate {pool.rate:g}, weights {pool.spread}, failures {pool.place}"


STRATA: tuple[tuple[Of, Interval], ...] = (("source", "gamma"), ("pool", "gamma"), ("source", "exact"))
OF: tuple[Of, ...] = ("source", "pool")

REGIMES = (
    *(
        Regime(f"Horvitz-Thompson of the {of}, {_named(pool)}", partial(horvitz_thompson_draws, pool=pool, of=of))
        for number, pool in enumerate(_pools())
        for of in OF[: 1 + number % 2]
    ),
    *(
        Regime(
            f"Horvitz-Thompson trusting scores, {_named(pool)}",
            partial(horvitz_thompson_draws, pool=pool, of="source", trusting=True),
        )
        for pool in _pools()
        if pool.place == "well placed"
    ),
    Regime(
        "Horvitz-Thompson trusting wrong scores, rate 1e-4, weights very unequal, failures hidden",
        partial(
            horvitz_thompson_draws,
            pool=Pool(1e-4, "very unequal", "hidden"),
            of="source",
            trusting=True,
            believed="far from there",
        ),
        holds=False,
    ),
    *(
        Regime(
            f"stratified, {interval} interval of the {of}, {_named(pool)}",
            partial(strata_draws, pool=pool, of=of, interval=interval),
        )
        for pool in _pools()[1::2]
        for of, interval in STRATA
    ),
    *(
        Regime(f"betting, {draws} draws, {_named(pool)}", partial(with_replacement, pool=pool, draws=draws))
        for pool, draws in ((Pool(1e-2, "unequal", "well placed"), 1000), (Pool(1e-3, "equal", "ill placed"), 2000))
    ),
    *(
        Regime(
            f"Hájek, Korn-Graubard, {draws} draws, {_named(pool)}",
            partial(hajek_draws, pool=pool, draws=draws),
            unbiased=False,
            holds=holds,
        )
        for pool, draws, holds in (
            (Pool(1e-2, "equal", "everywhere alike"), 1000, True),
            (Pool(1e-2, "unequal", "everywhere alike"), 1000, True),
            (Pool(1e-2, "very unequal", "ill placed"), 1000, True),
            (Pool(1e-2, "very unequal", "well placed"), 1000, True),
        )
    ),
    *(
        Regime(f"wrong weights, real probabilities known, rate {rate:g}", partial(mistaken_weights, rate=rate))
        for rate in (1e-2, 1e-4)
    ),
)
