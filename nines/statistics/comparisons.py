"""Judged pairs as the statistics see them, and how often two readers of one pair agree."""

from __future__ import annotations

import dataclasses
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nines.statistics.rates import RateEstimate, estimate_rate

FIRST: Final = 1
TIE: Final = 0
SECOND: Final = -1


@dataclasses.dataclass(frozen=True)
class JudgedPairs:
    """What is known of `n` pairs besides their scores; all arrays run in the same order.

    Attributes:
        outcomes: What all readings come to: 1 the first is better, 0 a tie (or readers who differ), -1 the
            second, `(n,)`.
        readings: The single readings in the same numbers, `(n, readings)`; where there are fewer, `shares` is 0.
        shares: What each reading counts, `(n, readings)`, summing to 1 in each row.
        clarity: How clear each reading was, `(n, readings)`, 0 where unknown or a tie.
        prompts: Number of each pair's prompt: the cluster of the intervals, `(n,)`.
        lengths: Characters of the first and the second completion, `(n, 2)`.

    Raises:
        ValueError: Shapes differ, an outcome or reading is none of -1, 0, 1, or shares do not sum to 1.
    """

    outcomes: NDArray[np.int8]
    readings: NDArray[np.int8]
    shares: NDArray[np.float32]
    clarity: NDArray[np.float32]
    prompts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    def __post_init__(self) -> None:
        count = len(self.outcomes)
        if not self.readings.shape == self.shares.shape == self.clarity.shape or self.readings.ndim != 2:
            raise ValueError("readings, shares and clarity must have one shape (n, readings)")
        if {len(self.readings), len(self.prompts)} != {count} or self.lengths.shape != (count, 2):
            raise ValueError(f"judged pairs need arrays of one length, {count} outcomes do not fit the rest")
        if not (
            np.isin(self.outcomes, (FIRST, TIE, SECOND)).all() and np.isin(self.readings, (FIRST, TIE, SECOND)).all()
        ):
            raise ValueError("outcomes and readings must be 1, 0 or -1")
        if not np.allclose(self.shares.sum(axis=1), 1.0, atol=1e-5):
            raise ValueError("the shares of a pair's readings must sum to 1")

    def __len__(self) -> int:
        return len(self.outcomes)

    @property
    def read(self) -> NDArray[np.bool_]:
        """Which entries of `readings` are there, `(n, readings)`."""
        return np.asarray(self.shares > 0)

    @property
    def targets(self) -> NDArray[np.float64]:
        """Share of a win that the first completion got, a tie being half a win, over the readings, `(n,)`."""
        return np.asarray((self.shares * (1 + self.readings) / 2).sum(axis=1), dtype=np.float64)


@dataclasses.dataclass(frozen=True)
class ReaderAgreement:
    """How often a second reading says the same as a first.

    Attributes:
        all_pairs: Same preference, ties included, over the pairs that were read at least twice.
        decided: Of the pairs in which one reading prefers a completion, how often another prefers the same; both
            directions of each pair of readings count.
    """

    all_pairs: RateEstimate
    decided: RateEstimate


def reader_agreement(pairs: JudgedPairs, *, confidence: float = 0.95) -> ReaderAgreement:
    """Agreement of the readings of one pair, each two of them compared, with intervals clustered by prompt.

    Each pair weighs the same, however often it was read.
    """
    items: list[tuple[bool, bool, int, float, bool]] = []
    for row in range(len(pairs)):
        read = pairs.readings[row][pairs.read[row]]
        two = [(i, j) for i in range(len(read)) for j in range(len(read)) if i != j]
        items += [
            (bool(read[i] == read[j]), bool(read[i] != TIE), int(pairs.prompts[row]), 1 / len(two), i < j)
            for i, j in two
        ]
    columns = [np.array(column) for column in zip(*items, strict=True)] if items else [np.empty(0)] * 5
    same, decided, prompts, weights, once = columns
    return ReaderAgreement(
        all_pairs=estimate_rate(same, prompts, weights=np.where(once, weights, 0.0), confidence=confidence),
        decided=estimate_rate(same, prompts, weights=np.where(decided, weights, 0.0), confidence=confidence),
    )
