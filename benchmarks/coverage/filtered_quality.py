"""Quality of a first-accepted policy from base completions and judged pairs: Student's interval over prompts."""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy import stats

from benchmarks.coverage.simulation import Regime, Replications
from nines.statistics.quality_budget import FilteredQuality


def first_accepted(
    rng: np.random.Generator,
    replications: int,
    *,
    prompts: int,
    draws: int,
    pairs: int,
    acceptance: tuple[float, float],
    better: float,
) -> Replications:
    """Each prompt accepts with its own probability, beta distributed; the accepted one of two wins with `better`."""
    first = (np.arange(prompts)[:, None] * draws + 2 * np.arange(pairs)).ravel()
    places, clusters = np.column_stack([first, first + 1]), np.repeat(np.arange(prompts), draws)
    truth = stats.beta(*acceptance).expect(lambda a: a / 2 + (1 - a) * (1 - (1 - a) ** (draws - 1)) * better)
    found = np.empty((replications, 3))
    for row in range(replications):
        rates = rng.beta(*acceptance, size=prompts)
        accepted = (rng.random((prompts, draws)) < rates[:, None]).ravel()
        won = rng.random(len(places)) < better
        shares = np.where(accepted[places[:, 0]], won, ~won)
        quality = FilteredQuality(np.where(accepted, 0.0, 1.0), clusters, pairs=places, preferences=shares)(0.5)
        found[row] = quality.estimate, quality.lower, quality.upper
    return Replications(np.full(replications, truth), *found.T)


REGIMES = tuple(
    Regime(
        f"quality, {prompts} prompts of {draws} draws and {pairs} pairs, acceptance beta{acceptance}, wins {better:g}",
        partial(first_accepted, prompts=prompts, draws=draws, pairs=pairs, acceptance=acceptance, better=better),
        holds=holds,
    )
    for prompts, draws, pairs, acceptance, better, holds in (
        (117, 24, 2, (8, 2), 0.4, True),
        (500, 8, 1, (3, 2), 0.5, True),
        (60, 12, 2, (2, 2), 0.3, True),
        (117, 24, 2, (40, 1), 0.4, False),
    )
)
