"""Intervals and corrections that are not ours: Student's t, Holm's method, and noise pooled over sets."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from sweeps.report.results import ParameterSet


@dataclasses.dataclass(frozen=True)
class MeanInterval:
    """A mean with its t-interval.

    Attributes:
        mean: Mean of the values.
        lower: Lower end; minus infinity with fewer than two values, which say nothing of the noise.
        upper: Upper end; infinity with fewer than two values.
        count: Number of values.
    """

    mean: float
    lower: float
    upper: float
    count: int


def mean_interval(values: Sequence[float], *, level: float = 0.95) -> MeanInterval:
    """Student's t-interval of the mean of independent values, at least one, with coverage `level` in (0, 1)."""
    count = len(values)
    mean = float(np.mean(values))
    if count < 2:
        return MeanInterval(mean, -math.inf, math.inf, count)
    half = float(stats.t.ppf((1 + level) / 2, count - 1)) * float(np.std(values, ddof=1)) / math.sqrt(count)
    return MeanInterval(mean, mean - half, mean + half, count)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that control the chance of any false statement (Holm 1979), in the order given."""
    order = np.argsort(p_values, kind="stable")
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * float(p_values[index])))
        adjusted[int(index)] = running
    return adjusted


def seed_noise(sets: Sequence[ParameterSet]) -> tuple[float, int] | None:
    """Standard deviation over seeds pooled over the sets, and its degrees of freedom; None without repeats."""
    repeated = [list(each.by_seed.values()) for each in sets if len(each.by_seed) > 1]
    degrees = sum(len(values) - 1 for values in repeated)
    if degrees == 0:
        return None
    squares = sum(float(np.var(values, ddof=1)) * (len(values) - 1) for values in repeated)
    return math.sqrt(squares / degrees), degrees
