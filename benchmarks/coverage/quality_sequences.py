"""Quality with looks at any time, and with a model's judgements beside a few human labels."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import special

from benchmarks.coverage.pairwise_quality import replications
from benchmarks.coverage.simulation import Regime, Replications
from nines.statistics.confidence_sequence import betting_ends
from nines.statistics.estimate import Estimate
from nines.statistics.prediction_powered import prediction_powered

LOOKS_FROM = 10


def _steps(
    rng: np.random.Generator, shape: tuple[int, int], *, rejected: float, win: float, ties: float
) -> tuple[NDArray[np.float64], float]:
    decided = np.where(rng.random(shape) < ties, 0.5, rng.random(shape) < win)
    shares = np.where(rng.random(shape) < rejected, decided, 0.5)
    return shares, 0.5 + rejected * (1 - ties) * (win - 0.5)


def at_any_time(
    rng: np.random.Generator, count: int, *, prompts: int, rejected: float, win: float, ties: float = 0.1
) -> Replications:
    """The intersection of the intervals after each prompt: a miss at any look is a miss."""
    shares, truth = _steps(rng, (count, prompts), rejected=rejected, win=win, ties=ties)
    lower, upper = betting_ends(shares)
    return Replications(np.full(count, truth), shares.mean(axis=1), lower, upper)


def peeking(rng: np.random.Generator, count: int, *, prompts: int, win: float) -> Replications:
    """The normal interval of fixed size looked at after each prompt from the tenth on: what a sequence is for."""
    shares, truth = _steps(rng, (count, prompts), rejected=1.0, win=win, ties=0.0)
    times = np.arange(1, prompts + 1)
    means = np.cumsum(shares, axis=1) / times
    half = special.ndtri(0.975) * np.sqrt(np.maximum(means * (1 - means), 0.25 / times) / times)
    lower = (means - half)[:, LOOKS_FROM:].max(axis=1)
    upper = (means + half)[:, LOOKS_FROM:].min(axis=1)
    # Where the intersection is empty it holds nothing; a point beside the truth stands for it.
    empty = lower > upper
    return Replications(
        np.full(count, truth), means[:, -1], np.where(empty, truth + 1, lower), np.where(empty, truth + 1, upper)
    )


def powered(
    rng: np.random.Generator,
    count: int,
    *,
    labels: int,
    more: int,
    skill: float,
    pairs: int = 1,
    trust: float | str = "tuned",
    bias: float = 0.0,
) -> Replications:
    """A judge that sees a normal merit through noise; pairs of one prompt share a part of the merit."""
    prompts = (labels + more) // pairs
    shared = rng.normal(size=(count, prompts, 1)) * (0.5 if pairs > 1 else 0.0)
    merit = (shared + rng.normal(size=(count, prompts, pairs))).reshape(count, -1) + 0.3
    shares = (merit + rng.normal(size=merit.shape) > 0).astype(np.float64)
    seen = skill * merit + np.sqrt(1 - skill**2) * rng.normal(size=merit.shape)
    predictions = special.ndtr(1.5 * seen + bias)
    truth = float(special.ndtr(0.3 / np.sqrt(2 + (0.25 if pairs > 1 else 0.0))))
    group = np.arange(prompts).repeat(pairs)

    def one(place: int) -> Estimate:
        # Some pairs of every other prompt: prompts are drawn at random already.
        order = np.argsort(np.arange(len(group)) % pairs, kind="stable") if pairs > 1 else np.arange(len(group))
        mine, others = order[:labels], order[labels:]
        return prediction_powered(
            shares[place, mine],
            predictions[place, mine],
            predictions[place, others],
            prompts=group[mine],
            more_prompts=group[others],
            trust=trust,  # type: ignore[arg-type]
        )

    return replications(truth, (one(place) for place in range(count)))


REGIMES = (
    *(
        Regime(
            f"confidence sequence at any of {prompts} prompts, rejected {rejected:g}, win {win:g}",
            partial(at_any_time, prompts=prompts, rejected=rejected, win=win),
        )
        for prompts, rejected, win in ((200, 1.0, 0.5), (200, 1.0, 0.97), (500, 0.2, 0.6), (300, 0.02, 1.0))
    ),
    Regime(
        "normal interval of fixed size, looked at after each of 200 prompts",
        partial(peeking, prompts=200, win=0.5),
        holds=False,
    ),
    *(
        Regime(
            f"prediction-powered, {labels} labels and {more} judgements, skill {skill:g}, {pairs} pairs a prompt, "
            f"trust {trust}, bias {bias:g}",
            partial(powered, labels=labels, more=more, skill=skill, pairs=pairs, trust=trust, bias=bias),
            # A tuned trust is chosen by the same labels: unbiased only in the limit.
            unbiased=trust != "tuned",
        )
        for labels, more, skill, pairs, trust, bias in (
            (30, 300, 0.9, 1, "tuned", 0.0),
            (100, 1000, 0.9, 1, "tuned", 1.0),
            (100, 1000, 0.0, 1, "tuned", 0.5),
            (100, 1000, 0.9, 1, 1.0, 1.0),
            (100, 900, 0.9, 4, "tuned", 0.0),
        )
    ),
)
