"""Quality of a filtered policy: from all labels, from those of rejected completions alone, from samples, in batches."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import special

from benchmarks.coverage.simulation import Regime, Replications
from nines.statistics.accepted_pairs import quality_from_needed
from nines.statistics.estimate import Estimate
from nines.statistics.pair_sampling import hajek_quality, label_probabilities, sampled_quality
from nines.statistics.quality import quality
from nines.statistics.safest_selection import quality_of_selection


def replications(truth: float, found: Iterable[Estimate]) -> Replications:
    """Estimates and ends as arrays."""
    several = list(found)
    return Replications(
        np.full(len(several), truth),
        np.array([one.estimate for one in several]),
        np.array([one.lower for one in several]),
        np.array([one.upper for one in several]),
    )


def _beta(rng: np.random.Generator, mean: float, alike: float, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Values of prompts with this mean and intra-class correlation; the mean itself for 0 or a mean of 0 or 1."""
    if alike == 0 or not 0 < mean < 1:
        return np.full(shape, mean)
    size = 1 / alike - 1
    return rng.beta(mean * size, (1 - mean) * size, shape)


def _outcomes(
    rng: np.random.Generator, wins: NDArray[np.float64], ties: float, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Shares 1, ½, 0 for a chance of a win given no tie."""
    decided = (rng.random(shape) < wins).astype(np.float64)
    return np.where(rng.random(shape) < ties, 0.5, decided)


def of_all(
    rng: np.random.Generator,
    replications_: int,
    *,
    prompts: int,
    pairs: int,
    win: float,
    ties: float,
    alike: float = 0.0,
    skewed: bool = False,
) -> Replications:
    """Every pair labelled; `win` given that it is no tie, of which prompts have their own; prompts weigh unequally."""
    chances = _beta(rng, win, alike, (replications_, prompts, 1))
    shares = _outcomes(rng, chances, ties, (replications_, prompts, pairs)).reshape(replications_, -1)
    weights = rng.exponential(size=(replications_, prompts)).repeat(pairs, axis=1) + 0.2 if skewed else None
    group = np.arange(prompts).repeat(pairs)
    return replications(
        ties / 2 + (1 - ties) * win,
        (quality(one, group, weights=None if weights is None else weights[place]) for place, one in enumerate(shares)),
    )


def of_needed(
    rng: np.random.Generator,
    replications_: int,
    *,
    prompts: int,
    pairs: int,
    rejected: float,
    win: float,
    ties: float = 0.1,
    alike: float = 0.0,
    needed_only: bool = True,
) -> Replications:
    """Both accepted: an even chance. Rejected: a chance `win`. Labels of all, or only where they are needed."""
    shape = (replications_, prompts, pairs)
    needed = rng.random(shape) < _beta(rng, rejected, alike, (replications_, prompts, 1))
    chances = np.where(needed, _beta(rng, win, alike, (replications_, prompts, 1)), 0.5)
    shares = _outcomes(rng, chances, ties, shape).reshape(replications_, -1)
    flat, group = needed.reshape(replications_, -1), np.arange(prompts).repeat(pairs)
    return replications(
        0.5 + rejected * (1 - ties) * (win - 0.5),
        (
            quality_from_needed(one, wanted, group) if needed_only else quality(one, group)
            for one, wanted in zip(shares, flat, strict=True)
        ),
    )


def sampled(rng: np.random.Generator, replications_: int, *, prompts: int, labels: int, method: str) -> Replications:
    """Labels drawn with probabilities by a judge that is right on average; the pool's prompts are a sample, too."""
    shape = (replications_, prompts)
    chances = rng.beta(2.4, 1.6, shape)
    shares = (rng.random(shape) < chances).astype(np.float64)
    guesses = np.clip(chances + rng.normal(0, 0.1, shape), 0.02, 0.98)
    group = np.arange(prompts)

    def one(share: NDArray[np.float64], guess: NDArray[np.float64]) -> Estimate:
        probabilities = label_probabilities(guess, labels=labels)
        chosen = rng.random(prompts) < probabilities
        if method == "Hájek":
            return hajek_quality(share[chosen], probabilities[chosen], group[chosen])
        predictions = guess if method == "difference estimator" else None
        return sampled_quality(share, chosen, probabilities, group, predictions=predictions)

    return replications(0.6, (one(share, guess) for share, guess in zip(shares, guesses, strict=True)))


def in_batches(
    rng: np.random.Generator, replications_: int, *, prompts: int, draws: int, batch: int, correlation: float
) -> Replications:
    """One batch, the safest delivered whatever it scores; qualities are normal and correlated with safety."""
    safety = rng.normal(size=(replications_, prompts, draws))
    merit = correlation * safety + np.sqrt(1 - correlation**2) * rng.normal(size=safety.shape)
    shares = (merit[..., :, None] > merit[..., None, :]).astype(np.float64)
    nodes, masses = np.polynomial.legendre.leggauss(200)
    best = special.ndtri(((nodes + 1) / 2) ** (1 / batch))
    truth = float(masses @ special.ndtr(correlation * best / np.sqrt(2 - correlation**2)) / 2)
    options = {"threshold": 0.0, "batch": batch, "batches": 1}
    return replications(
        truth,
        (
            quality_of_selection(share, -safe, fallback="safest", **options)  # type: ignore[arg-type]
            for share, safe in zip(shares, safety, strict=True)
        ),
    )


REGIMES = (
    *(
        Regime(
            f"quality, {prompts} prompts of {pairs}, win {win:g}, ties {ties:g}, correlation {alike:g}",
            partial(of_all, prompts=prompts, pairs=pairs, win=win, ties=ties, alike=alike),
        )
        for prompts, pairs, win, ties, alike in (
            (10, 1, 0.7, 0.1, 0.0),
            (20, 1, 0.5, 0.9, 0.0),
            (20, 1, 1.0, 0.05, 0.0),
            (100, 1, 0.99, 0.01, 0.0),
            (150, 1, 0.5, 0.07, 0.0),
            (8, 20, 0.6, 0.1, 0.2),
            (30, 5, 0.95, 0.02, 0.3),
        )
    ),
    Regime(
        "quality, unequal weights, 60 prompts of 2, win 0.6",
        partial(of_all, prompts=60, pairs=2, win=0.6, ties=0.1, alike=0.1, skewed=True),
    ),
    *(
        Regime(
            f"quality, {'labels only if needed' if needed_only else 'labels of all'}, {prompts} prompts of {pairs}, "
            f"rejected {rejected:g}, win {win:g}",
            partial(
                of_needed,
                prompts=prompts,
                pairs=pairs,
                rejected=rejected,
                win=win,
                alike=alike,
                needed_only=needed_only,
            ),
        )
        for prompts, pairs, rejected, win, alike in (
            (150, 1, 0.3, 0.7, 0.0),
            (150, 1, 0.1, 0.5, 0.0),
            (100, 1, 0.05, 0.9, 0.0),
            (30, 1, 0.02, 1.0, 0.0),
            (40, 5, 0.2, 0.7, 0.2),
        )
        for needed_only in (True, False)
    ),
    *(
        Regime(
            f"quality, {method}, {labels} of {prompts} pairs labelled",
            partial(sampled, prompts=prompts, labels=labels, method=method),
            # A ratio of two random sums.
            unbiased=method != "Hájek",
        )
        for prompts, labels in ((200, 40), (1000, 100))
        for method in ("Horvitz-Thompson", "difference estimator", "Hájek")
    ),
    *(
        Regime(
            f"quality, safest of {batch}, U-statistic, {prompts} prompts of {draws} draws, correlation {correlation:g}",
            partial(in_batches, prompts=prompts, draws=draws, batch=batch, correlation=correlation),
        )
        for prompts, draws, batch, correlation in ((15, 5, 4, 0.3), (60, 6, 3, 0.6), (60, 9, 8, 0.1))
    ),
)
