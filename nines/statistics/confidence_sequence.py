"""Intervals of the mean of bounded values that hold at every sample size, and at all of them at once: by betting.

A gambler who bets on values against a supposed mean m can multiply the capital only if m is not the mean: in a fair
game it exceeds 2 / (1 - confidence) at *any* time with a chance of at most half of 1 - confidence (Ville 1939). The
means at which it never did are a confidence sequence (Waudby-Smith and Ramdas 2024, *Estimating means of bounded
random variables by betting*, JRSS B, theorem 3). No normal approximation and no least sample size are involved. Of the
boundaries of Howard et al. 2021 (*Time-uniform, nonparametric, nonasymptotic confidence sequences*) the empirical
Bernstein one is wider for bounded means.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nines.statistics.estimate import NoEstimateError

TRUNCATION = 0.5
"""Greatest share of the capital at stake in one bet, so that no bet loses all."""

STEPS = 24
"""Halvings of [0, 1] that find an end: to 6e-8."""


def betting_ends(
    values: ArrayLike, *, confidence: float = 0.95, length: int | None = None, running: bool = True
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower and upper ends after all values, for one sequence `(n,)` or several `(sequences, n)`.

    Bets are the predictable plug-in of Waudby-Smith and Ramdas 2024 (equation 26), truncated: with the running mean
    and variance before value t,

        stake_t = sqrt(2 log(2 / alpha) / (variance_{t-1} t log(1 + t))),   capital(m) = Π (1 + min(stake, c/m)(x - m)),

    and likewise against 1 - m from above. Each gambler gets alpha / 2. Capital falls in m, so each end is a root.

    Args:
        values: In [0, 1], in the order in which they came; each has the wanted mean given those before it.
        confidence: In (0, 1).
        length: The sample size that was fixed beforehand. The stakes are then tuned to it: a narrower interval, which
            still holds at earlier looks. None tunes to no size.
        running: Intersect the intervals of all times up to now, which a confidence sequence allows.

    Returns:
        Two arrays without the last axis of `values`.

    Raises:
        NoEstimateError: There are no values.
        ValueError: A value lies outside [0, 1], or `confidence` outside (0, 1).
    """
    sample = np.asarray(values, dtype=np.float64)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie in (0, 1), got {confidence}")
    if sample.ndim not in (1, 2) or not ((sample >= 0) & (sample <= 1)).all():
        raise ValueError("values must lie in [0, 1], with shape (n,) or (sequences, n)")
    if sample.shape[-1] == 0:
        raise NoEstimateError("there is no value yet, so the interval is all of [0, 1]")
    wanted = math.log(2 / (1 - confidence))
    stakes = _stakes(sample, wanted, length=length)
    lower = _root(sample, stakes, wanted, running=running)
    # The upper end of x is the lower end of 1 - x; the stakes depend on x by its spread only.
    upper = 1 - _root(1 - sample, stakes, wanted, running=running)
    # Where both gamblers won, which happens with less than the stated error, the interval is empty: a point then.
    return np.minimum(lower, upper), np.maximum(lower, upper)


def _stakes(sample: NDArray[np.float64], wanted: float, *, length: int | None) -> NDArray[np.float64]:
    """What each bet would be without truncation, from the values before it."""
    times = np.arange(1, sample.shape[-1] + 1, dtype=np.float64)
    mean = (0.5 + np.cumsum(sample, axis=-1)) / (times + 1)
    variance = (0.25 + np.cumsum(np.square(sample - mean), axis=-1)) / (times + 1)
    before = np.concatenate([np.full((*sample.shape[:-1], 1), 0.25), variance[..., :-1]], axis=-1)
    horizon = times * np.log1p(times) if length is None else np.full_like(times, float(length))
    return np.asarray(np.sqrt(2 * wanted / (before * horizon)))


def _root(
    sample: NDArray[np.float64], stakes: NDArray[np.float64], wanted: float, *, running: bool
) -> NDArray[np.float64]:
    """The greatest mean that bets on larger values refute, 0 where they refute none."""
    low, high = np.zeros(sample.shape[:-1]), np.ones(sample.shape[:-1])
    for _ in range(STEPS):
        middle = (low + high) / 2
        bets = np.minimum(stakes, TRUNCATION / middle[..., None])
        bets *= sample - middle[..., None]
        gains = np.log1p(bets, out=bets)
        capital = np.cumsum(gains, axis=-1).max(axis=-1) if running else gains.sum(axis=-1)
        refuted = capital >= wanted
        low, high = np.where(refuted, middle, low), np.where(refuted, high, middle)
    return np.asarray(low)


Decision = Literal["open", "precise", "above", "below"]


def decide(lower: float, upper: float, *, half_width: float | None = None, level: float | None = None) -> Decision:
    """Whether a confidence sequence may stop: it does not matter how often it was looked at.

    Args:
        lower: Lower end now.
        upper: Upper end now.
        half_width: Stop as "precise" when the interval is no wider than twice this.
        level: Stop as "above" or "below" when the interval lies wholly on one side of it.
    """
    if level is not None and lower > level:
        return "above"
    if level is not None and upper < level:
        return "below"
    return "precise" if half_width is not None and upper - lower <= 2 * half_width else "open"
