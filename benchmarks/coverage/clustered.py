"""Rates over completions that come in prompts: Korn and Graubard's interval, and Clopper and Pearson's."""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.coverage.simulation import Regime, Replications
from nines.statistics.intervals import clopper_pearson, clustered_interval


def independent(rng: np.random.Generator, replications: int, *, rate: float, items: int) -> Replications:
    """Independent, equally weighted items: one interval for each count that occurs."""
    events = rng.binomial(items, rate, size=replications)
    counts, place = np.unique(events, return_inverse=True)
    ends = np.array([clopper_pearson(count, items) for count in counts])[place]
    return Replications(np.full(replications, rate), events / items, ends[:, 0], ends[:, 1])


def in_prompts(
    rng: np.random.Generator, replications: int, *, rate: float, prompts: int, completions: int, alike: float
) -> Replications:
    """Completions of one prompt share its own rate, beta distributed with intra-class correlation `alike`."""
    size = 1 / alike - 1
    rates = rng.beta(rate * size, (1 - rate) * size, size=(replications, prompts, 1))
    events = rng.random((replications, prompts, completions)) < rates
    clusters = np.repeat(np.arange(prompts), completions)
    found = [clustered_interval(one.ravel(), clusters) for one in events]
    return Replications(
        np.full(replications, rate),
        np.array([one.estimate for one in found]),
        np.array([one.lower for one in found]),
        np.array([one.upper for one in found]),
    )


REGIMES = (
    *(
        Regime(
            f"Clopper-Pearson, {items} independent items, rate {rate:g}",
            partial(independent, rate=rate, items=items),
        )
        for rate, items in ((0.2, 100), (1e-2, 1000), (1e-3, 3000), (1e-4, 30_000), (1e-5, 300_000))
    ),
    *(
        Regime(
            f"Korn-Graubard, {prompts} prompts of {completions}, rate {rate:g}, correlation {alike:g}",
            partial(in_prompts, rate=rate, prompts=prompts, completions=completions, alike=alike),
        )
        for rate, prompts, completions, alike in ((0.2, 100, 5, 0.2), (0.05, 150, 4, 0.1), (0.01, 150, 4, 0.3))
    ),
)
