"""Wilson's and Jeffreys' intervals where they hold and where they dip, and samples without an event."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.coverage.simulation import Regime, Replications
from nines.statistics.binomial import Ends, jeffreys, upper_bound_without_events, wilson


def counted(
    rng: np.random.Generator, replications: int, *, interval: Callable[..., Ends], expected: float, rate: float
) -> Replications:
    """As many independent items as make `expected` events at `rate`."""
    items = round(expected / rate)
    events = rng.binomial(items, rate, size=replications)
    lower, upper = interval(events, items)
    return Replications(np.full(replications, rate), events / items, lower, upper)


def without_events(rng: np.random.Generator, replications: int, *, rate: float, items: int) -> Replications:
    """The bound of a sample without an event; a sample that has one says nothing of it and counts as held."""
    events = rng.binomial(items, rate, size=replications)
    upper = np.where(events == 0, upper_bound_without_events(items), 1.0)
    return Replications(np.full(replications, rate), events / items, np.zeros(replications), upper)


REGIMES = (
    *(
        Regime(
            f"{interval.__name__.capitalize()}, rate {rate:g}, {expected:g} events expected",
            partial(counted, interval=interval, expected=expected, rate=rate),
            holds=holds,
        )
        for interval, expected, rate, holds in (
            (wilson, 100, 1e-2, True),
            (wilson, 100, 1e-5, True),
            (wilson, 1, 1e-3, False),
            (wilson, 0.17, 1e-4, False),
            (jeffreys, 100, 1e-2, True),
            (jeffreys, 100, 1e-5, True),
            (jeffreys, 5, 1e-3, False),
            (jeffreys, 3, 1e-4, False),
        )
    ),
    *(
        Regime(f"no event in {items}, rate {rate:g}", partial(without_events, rate=rate, items=items))
        for rate, items in ((1e-2, 298), (1e-3, 2990), (1e-4, 30_000), (1e-5, 299_000))
    ),
)
