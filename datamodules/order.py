"""Which rows are in which batch: pure functions of the seed, the epoch, the rank and the number of ranks.

All ranks together take one step on `world_size * batch_size` rows. The rows of an epoch are split evenly over its steps
(no tiny last batch whose few rows would weigh as much as a full one), so every rank has the same number of batches,
which DDP needs in training and, because it broadcasts buffers in each forward pass, in evaluation too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.schema import short_hash
from nines.errors import ConfigError

Rows = NDArray[np.int64]

LEAST_BUCKETS = 4
"""Fewer buckets in an epoch would keep the same rows together in every epoch: one sorts all rows the same way."""


@dataclass(frozen=True)
class Ranks:
    """One process among those that train together."""

    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world_size:
            raise ConfigError(f"rank {self.rank} is not one of {self.world_size} ranks")

    def share(self, rows: Rows) -> Rows:
        """The part of one step's rows that this rank takes."""
        return np.array_split(rows, self.world_size)[self.rank]


@dataclass(frozen=True)
class TrainingOrder:
    """Shuffled batches of rows that are about equally long.

    The rows are shuffled, cut into steps, every `bucket_steps` steps sorted by length among themselves, and the steps
    shuffled again: batches need little padding, and are made of other rows in each epoch.

    Attributes:
        lengths: `(rows of the split,)` number of tokens.
        draw: Epoch to the rows of that epoch, the same number in each; a row may come more than once (oversampling).
        batch_size: Rows of one rank in one step.
        seed: Seed of the shuffles.
        ranks: This process among those that train together.
        bucket_steps: Steps whose rows are sorted together, at most a quarter of the epoch; 1 for a plain shuffle.
        drop_last: Leave out the rows (other ones in each epoch) that fill no step, so that all batches are full.
    """

    lengths: NDArray[np.int64]
    draw: Callable[[int], Rows]
    batch_size: int
    seed: int = 0
    ranks: Ranks = field(default_factory=Ranks)
    bucket_steps: int = 16
    drop_last: bool = False
    _last: dict[int, list[Rows]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.bucket_steps < 1:
            raise ConfigError(
                f"batch_size and bucket_steps must be at least 1, are {self.batch_size} and {self.bucket_steps}"
            )
        if self.steps == 0:
            raise ConfigError(
                f"{len(self.draw(0))} training rows cannot fill one step of {self.ranks.world_size} ranks x "
                f"{self.batch_size} rows; give more rows, a smaller batch_size or drop_last=false"
            )

    @cached_property
    def steps(self) -> int:
        """Batches of each rank in an epoch."""
        return _steps(len(self.draw(0)), self.batch_size, self.ranks.world_size, drop_last=self.drop_last)

    def batches(self, epoch: int) -> list[Rows]:
        """The batches of this rank in `epoch`."""
        return [self.ranks.share(step) for step in self._steps_of(epoch)]

    def batch(self, epoch: int, position: int) -> tuple[Rows, float]:
        """The rows of this rank in one step, and the factor by which their mean enters the mean over ranks.

        Ranks take numbers of rows that differ by one where a step cannot be split evenly. With the factor (rows of this
        rank, times ranks, over rows of the step) the mean over ranks is that over the step's rows, each counting alike.
        """
        step = self._steps_of(epoch)[position]
        rows = self.ranks.share(step)
        return rows, len(rows) * self.ranks.world_size / len(step)

    def _steps_of(self, epoch: int) -> list[Rows]:
        if epoch not in self._last:
            self._last.clear()  # one epoch is kept: the loader asks for it again at every batch
            self._last[epoch] = self._shuffled(epoch)
        return self._last[epoch]

    def _shuffled(self, epoch: int) -> list[Rows]:
        random = np.random.default_rng([self.seed, epoch, 0])
        rows = random.permutation(self.draw(epoch))
        if self.drop_last:
            rows = rows[: self.steps * self.batch_size * self.ranks.world_size]
        steps = np.array_split(rows, self.steps)
        together: list[Rows] = []
        together_steps = min(self.bucket_steps, max(1, len(steps) // LEAST_BUCKETS))
        for first in range(0, len(steps), together_steps):
            bucket = steps[first : first + together_steps]
            ordered = _by_length(np.concatenate(bucket), self.lengths)
            together.extend(np.split(ordered, np.cumsum([len(step) for step in bucket])[:-1]))
        return [together[step] for step in random.permutation(len(together))]

    def identity(self) -> dict[str, Any]:
        """What the order depends on, by name: a checkpoint inside an epoch fits only the same."""
        return {
            "steps": self.steps,
            "rows": short_hash(self.draw(0).tobytes().hex(), self.lengths.tobytes().hex()),
            "batch_size": self.batch_size,
            "seed": self.seed,
            "world_size": self.ranks.world_size,
            "bucket_steps": self.bucket_steps,
            "drop_last": self.drop_last,
        }


@dataclass(frozen=True)
class EvaluationOrder:
    """Batches sorted by length, longest first: little padding, and too large a batch fails at once.

    Attributes:
        lengths: `(rows of the split,)` number of tokens.
        batch_size: Rows of one rank in one step. With batch_size 1 a batch may hold two, so that no rank runs dry.
        ranks: This process among those that evaluate together.
    """

    lengths: NDArray[np.int64]
    batch_size: int
    ranks: Ranks = field(default_factory=Ranks)

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ConfigError(f"the batch size must be at least 1, is {self.batch_size}")
        if self.steps == 0:
            raise ConfigError(
                f"{len(self.lengths)} rows are too few for {self.ranks.world_size} ranks; use fewer ranks"
            )

    @property
    def steps(self) -> int:
        """Batches of each rank."""
        return _steps(len(self.lengths), self.batch_size, self.ranks.world_size, drop_last=False)

    def batches(self) -> list[Rows]:
        """The batches of this rank."""
        rows = _by_length(np.arange(len(self.lengths)), -self.lengths)
        return [self.ranks.share(step) for step in np.array_split(rows, self.steps)]


def _steps(rows: int, batch_size: int, world_size: int, *, drop_last: bool) -> int:
    """Steps of an epoch: full ones only, or as many as needed as long as each rank has a row in each."""
    if drop_last:
        return rows // (batch_size * world_size)
    return min(-(-rows // (batch_size * world_size)), rows // world_size)


def _by_length(rows: Rows, lengths: NDArray[np.int64]) -> Rows:
    return rows[np.argsort(lengths[rows], kind="stable")]
