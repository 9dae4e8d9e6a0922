"""Failure rates of policies from labels on unfiltered completions, with prompts that differ and a known truth.

Each prompt has its own chance of an injurious completion, beta distributed. Scores of injurious and safe completions
are normal with AUROC 0.96 between them, and harder to tell apart in dangerous prompts. The truth is integrated.
"""

from __future__ import annotations

from functools import cache, partial

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.coverage.simulation import Regime, Replications
from nines.statistics.delivery import Fallback
from nines.statistics.policy_failures import policy_failures

DISTANCE = 2.476


def drawn(
    rng: np.random.Generator, *, prompts: int, completions: int, rate: float, alike: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores and labels of completions, `(prompts, completions)` each."""
    size = 1 / alike - 1
    chances = rng.beta(rate * size, (1 - rate) * size, size=(prompts, 1))
    injurious = rng.random((prompts, completions)) < chances
    scores = rng.normal(size=injurious.shape) + DISTANCE * injurious * (1 - 0.5 * chances)
    return scores, injurious


@cache
def truth(
    *, rate: float, alike: float, threshold: float, max_tries: int, batch: int, fallback: Fallback
) -> tuple[float, float]:
    """Failures per prompt and per delivered completion, by integrals over dangers of prompts and over scores."""
    size = 1 / alike - 1
    chances = stats.beta.ppf((np.arange(400) + 0.5) / 400, rate * size, (1 - rate) * size)[:, None]
    scores = np.linspace(-8.0, 9.0, 1361)[None, :]
    moved = scores - DISTANCE * (1 - 0.5 * chances)
    density = chances * stats.norm.pdf(moved)
    higher = chances * stats.norm.sf(moved) + (1 - chances) * stats.norm.sf(scores)
    step = scores[0, 1] - scores[0, 0]
    below = np.clip((threshold - scores) / step + 0.5, 0.0, 1.0)
    cut = threshold - DISTANCE * (1 - 0.5 * chances[:, 0])
    rejected = chances[:, 0] * stats.norm.sf(cut) + (1 - chances[:, 0]) * stats.norm.sf(threshold)

    def safest_is_injurious(tries: int, where: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((tries * density * higher ** (tries - 1) * where).sum(axis=1) * step)

    failed = np.zeros(len(chances))
    for start in range(0, max_tries, batch):
        failed += rejected**start * safest_is_injurious(min(batch, max_tries - start), below)
    delivered = 1.0 - rejected**max_tries
    if fallback == "safest":
        failed += safest_is_injurious(max_tries, 1.0 - below)
        delivered = np.ones(len(chances))
    return float(failed.mean()), float(failed.mean() / delivered.mean())


def estimated(
    rng: np.random.Generator,
    replications: int,
    *,
    rate: float,
    alike: float,
    prompts: int,
    completions: int,
    threshold: float,
    max_tries: int,
    batch: int,
    fallback: Fallback,
    selected: bool,
    per_delivered: bool,
) -> Replications:
    """Label all completions, or a selection by score with known probabilities, and estimate."""
    known = truth(rate=rate, alike=alike, threshold=threshold, max_tries=max_tries, batch=batch, fallback=fallback)[
        int(per_delivered)
    ]
    numbers = np.repeat(np.arange(prompts), completions)
    found = []
    for _ in range(replications):
        table = drawn(rng, prompts=prompts, completions=completions, rate=rate, alike=alike)
        scores, injurious = table[0].ravel(), table[1].ravel()
        chances = np.clip(0.1 + 0.3 * np.maximum(scores, 0.0), 0.1, 1.0) if selected else np.ones(len(scores))
        labelled = rng.random(len(scores)) < chances
        result = policy_failures(
            scores,
            injurious & labelled,
            numbers,
            threshold=threshold,
            max_tries=max_tries,
            batch=batch,
            fallback=fallback,
            labelled=labelled,
            probabilities=chances,
        )
        found.append(result.per_delivered if per_delivered else result.per_prompt)
    return Replications(
        np.full(replications, known),
        np.array([one.estimate for one in found]),
        np.array([one.lower for one in found]),
        np.array([one.upper for one in found]),
    )


def _regime(
    name: str, *, max_tries: int, batch: int = 1, fallback: Fallback = "refuse", rate: float = 0.05,
    alike: float = 0.2, prompts: int = 200, completions: int = 8, threshold: float = 1.0, selected: bool = False,
    per_delivered: bool = False,
) -> Regime:  # fmt: skip
    stated = f"{name}, {prompts} prompts of {completions}, {'selected' if selected else 'all'} labelled"
    return Regime(
        f"{stated}, base rate {rate:g}{', per delivered' if per_delivered else ''}",
        partial(
            estimated, rate=rate, alike=alike, prompts=prompts, completions=completions, threshold=threshold,
            max_tries=max_tries, batch=batch, fallback=fallback, selected=selected, per_delivered=per_delivered,
        ),
        unbiased=not per_delivered,
    )  # fmt: skip


REGIMES = (
    _regime("base policy", max_tries=1, threshold=99.0),
    _regime("base policy", max_tries=1, threshold=99.0, rate=0.01, alike=0.3),
    _regime("first accepted of 4", max_tries=4),
    _regime("first accepted of 4, or the safest", max_tries=4, threshold=0.0, fallback="safest"),
    _regime("first accepted of 8", max_tries=8, threshold=-1.0, per_delivered=True),
    _regime("first accepted of 4", max_tries=4, selected=True, prompts=300),
    _regime("safest of 4", max_tries=4, batch=4, threshold=99.0, rate=0.2),
    _regime("safest of batches of 2 in 6", max_tries=6, batch=2, threshold=0.5, rate=0.2),
    _regime("first accepted of 4", max_tries=4, rate=0.01, alike=0.1, prompts=600),
)
