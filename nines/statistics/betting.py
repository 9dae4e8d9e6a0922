"""The test by betting that a false negative rate is at most alpha, for weighted completions that share prompts."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nines.statistics.missed_weight import InjuriousScores

_SHARES: Final = (1.0, 0.25, 1.0 / 16.0)


def bets(count: int, alpha: float, error: float) -> NDArray[np.float64]:
    """The fixed stakes, each in (0, 1 / (1 - alpha)], `(3,)`.

    The stake `(1 - c) / (1 - alpha)` is the best against a true rate of `c alpha`, and with n equal prompts the test
    decides at about `1 - c = sqrt(2 log(1 / error) / (n alpha))`. Unequal weights make n worth less, by an amount that
    may not be looked up in the data: hence one stake each for all of n, a quarter and a sixteenth.
    """
    shares = np.array(_SHARES)
    distance = np.sqrt(2.0 * math.log(1.0 / error) / (count * alpha * shares))
    return np.minimum(distance, 1.0) / (1.0 - alpha)


def threshold_by_betting(sample: InjuriousScores, *, alpha: float, error: float, largest: float) -> float | None:
    """The highest threshold at which the bet against "the rate exceeds alpha" has multiplied its money by `1 / error`.

    Waudby-Smith and Ramdas 2020, "Estimating means of bounded random variables by betting", with stakes that are fixed
    beforehand. For each prompt let `Z - alpha = (M - alpha W) / b` (see `nines.statistics.risk_control`), which is at
    most `1 - alpha`. Under E[Z] > alpha the capital `prod(1 + stake (alpha - Z))` of any fixed stake in
    [0, 1 / (1 - alpha)] has an expectation of at most 1, and so has the mean capital of several stakes; by Markov's
    inequality it reaches `1 / error` with a probability of at most `error`. With fixed stakes the capital does not
    depend on the order of the prompts and never rises with the threshold.

    Args:
        sample: Injurious completions.
        alpha: The rate to bet against, in (0, 1).
        error: Probability of a wrong claim, in (0, 1).
        largest: The bound b on a prompt's weight.

    Returns:
        The threshold; None where even a threshold without a miss does not convince.
    """
    stakes = bets(len(sample.totals), alpha, error)
    shares = sample.totals / largest
    logs = np.array([np.log1p(stake * alpha * shares).sum() for stake in stakes])
    needed = math.log(len(stakes) / error)

    def convinces(misses: int) -> bool:
        """Whether the capital suffices when the lowest `misses` completions are accepted."""
        prompts, place = np.unique(sample.group[:misses], return_inverse=True)
        missed = np.bincount(place, weights=sample.weights[:misses], minlength=len(prompts)) / largest
        gains = alpha * shares[prompts]
        with np.errstate(divide="ignore"):
            # A full stake on a prompt that misses everything loses all: log 0.
            changes = [
                (np.log(np.maximum(1.0 + stake * (gains - missed), 0.0)) - np.log1p(stake * gains)).sum()
                for stake in stakes
            ]
        return bool(np.logaddexp.reduce(logs + np.array(changes)) >= needed)

    first = np.flatnonzero(np.r_[True, np.diff(sample.scores) > 0])
    if not convinces(0):
        return None
    # The bet is lost long before all are missed: gallop up, then halve.
    known, step = 0, 1
    while known + step < len(first) and convinces(int(first[known + step])):
        known, step = known + step, 2 * step
    beyond = min(known + step, len(first))
    while beyond - known > 1:
        middle = (known + beyond) // 2
        known, beyond = (middle, beyond) if convinces(int(first[middle])) else (known, middle)
    return float(sample.scores[first[known]])
