"""The training mixture: which rows are trained on, how often, with which targets and weights.

Everything here works on arrays over the rows of the training split. Which rows a mixture keeps is decided by the seed
and the rows' ids alone: the same data in another order gives the same mixture, and of two ratios that thin the same
class the stricter one keeps a subset of the other's rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from datamodules.labelling import Labelling, labelled_targets
from datamodules.schema import GENERATED, LabelledCompletion
from nines.errors import ConfigError, nearest

Unsure = Literal["drop", "soft", "injurious"]
LossWeights = Literal["uniform", "natural"]
Resampling = Literal["none", "oversample", "undersample"]

_UNSURE_TARGETS: dict[Unsure, float] = {"drop": -1.0, "soft": 0.5, "injurious": 1.0}


@dataclass(frozen=True)
class MixtureOptions:
    """How the training split becomes what is trained on.

    Attributes:
        safe_per_injurious: Subsample to this many safe rows for each injurious one; None keeps all rows.
        unsure: Rows whose readers differ are dropped, kept with target 0.5, or counted as injurious.
        loss_weights: `natural` keeps generated rows only and weights them by `1 / (selection_probability * drawn)`.
        resampling: `oversample` repeats rows of the class that is short of `resampling_ratio`, `undersample` leaves
            rows of the other one out; which ones changes with the epoch.
        resampling_ratio: Safe rows for each injurious one that resampling aims at.
        sources: Train on rows of these sources only; None takes all.
        labelling: What labels are bought, and how the simulated readers err; every label as it is by default.
        seed: Decides which rows are kept and drawn.
    """

    safe_per_injurious: float | None = None
    unsure: Unsure = "drop"
    loss_weights: LossWeights = "uniform"
    resampling: Resampling = "none"
    resampling_ratio: float = 1.0
    sources: tuple[str, ...] | None = None
    labelling: Labelling = field(default_factory=Labelling)
    seed: int = 0

    def __post_init__(self) -> None:
        choices = (("unsure", Unsure), ("loss_weights", LossWeights), ("resampling", Resampling))
        for name, valid in choices:
            value = getattr(self, name)
            if value not in get_args(valid):
                raise ConfigError(f"datamodule.{name}={value!r} is unknown; {nearest(str(value), get_args(valid))}")
        if self.safe_per_injurious is not None and not self.safe_per_injurious > 0:
            raise ConfigError(
                f"datamodule.mixture={self.safe_per_injurious} must be above 0 (safe rows per injurious row)"
            )
        if not self.resampling_ratio > 0:
            raise ConfigError(f"datamodule.resampling_ratio={self.resampling_ratio} must be above 0")


@dataclass(frozen=True)
class Mixture:
    """The rows that are trained on.

    Attributes:
        rows: `(kept,)` indices into the training split, ascending.
        targets: `(rows of the split,)` float32 in [0, 1]; -1 where the row is not trained on.
        weights: `(rows of the split,)` float32, mean 1 over the kept rows; 0 where the row is not trained on.
        options: How it was made.
    """

    rows: NDArray[np.int64]
    targets: NDArray[np.float32]
    weights: NDArray[np.float32]
    options: MixtureOptions

    def draw(self, epoch: int) -> NDArray[np.int64]:
        """The rows of `epoch`, ascending, repeated and left out as `resampling` says; every epoch has as many."""
        wanted = self._wanted()
        random = np.random.default_rng([self.options.seed, epoch, 1])
        drawn = [self._of_class(0.5)]
        for target in (0.0, 1.0):
            rows = self._of_class(target)
            if len(rows) == 0:  # a teacher's soft labels may all lie on one side of a half
                continue
            repeats, rest = divmod(wanted[target], len(rows))
            drawn += [rows] * repeats
            drawn.append(random.choice(rows, rest, replace=False))
        return np.sort(np.concatenate(drawn))

    def counts(self) -> tuple[float, float]:
        """Weighted number of injurious and safe rows in an epoch; a soft label counts in part to each."""
        wanted = self._wanted()
        multiplicity = np.ones(len(self.rows))
        targets = self.targets[self.rows].astype(np.float64)
        for target, count in wanted.items():
            of_class = class_of(targets) == target
            multiplicity[of_class] = count / max(1, int(of_class.sum()))
        weights = self.weights[self.rows].astype(np.float64) * multiplicity
        return float((weights * targets).sum()), float((weights * (1 - targets)).sum())

    def _of_class(self, target: float) -> NDArray[np.int64]:
        rows: NDArray[np.int64] = self.rows[class_of(self.targets[self.rows]) == target]
        return rows

    def _wanted(self) -> dict[float, int]:
        """Rows of each certain class in an epoch."""
        safe, injurious = len(self._of_class(0.0)), len(self._of_class(1.0))
        if self.options.resampling == "oversample":
            ratio = self.options.resampling_ratio
            return {0.0: max(safe, round(injurious * ratio)), 1.0: max(injurious, round(safe / ratio))}
        if self.options.resampling == "undersample":
            kept_safe, kept_injurious = ratio_counts(safe, injurious, safe_per_injurious=self.options.resampling_ratio)
            return {0.0: kept_safe, 1.0: kept_injurious}
        return {0.0: safe, 1.0: injurious}


def make_mixture(rows: Sequence[LabelledCompletion], options: MixtureOptions) -> Mixture:
    """The mixture that `options` makes of the training rows.

    Raises:
        ConfigError: Nothing is left, one class is missing, or natural weights are wanted without generated rows.
    """
    soft = _UNSURE_TARGETS[options.unsure]
    targets = np.array([{1: 1.0, 0: 0.0, -1: soft}[row.label_number] for row in rows], dtype=np.float32)
    sources = np.array([row.source for row in rows], dtype=np.str_)
    natural = np.array([row.natural_weight for row in rows], dtype=np.float64)
    if options.sources is not None:
        if unknown := sorted(set(options.sources) - set(sources.tolist())):
            raise ConfigError(
                f"datamodule.sources: no row has source {unknown[0]!r}; {nearest(unknown[0], sources.tolist())}"
            )
        targets[~np.isin(sources, options.sources)] = -1.0
    if options.loss_weights == "natural":
        targets[sources != GENERATED] = -1.0
        if not (targets >= 0).any():
            raise ConfigError(
                "datamodule.loss_weights=natural trains on generated rows only (those with a selection_probability), "
                "and there is none; give such rows or use loss_weights=uniform"
            )
    targets = _labelled(targets, [row.id for row in rows], options)
    _require_both_classes(targets)
    if options.safe_per_injurious is not None:
        chances = _chances([row.id for row in rows], seed=options.seed)
        targets = _thinned(targets, chances, safe_per_injurious=options.safe_per_injurious)
    kept = np.flatnonzero(targets >= 0)
    weights = np.zeros(len(rows), dtype=np.float32)
    raw = natural[kept] if options.loss_weights == "natural" else np.ones(len(kept))
    weights[kept] = raw / raw.mean()
    return Mixture(rows=kept, targets=targets, weights=weights, options=options)


def class_of(targets: NDArray[np.floating]) -> NDArray[np.float64]:
    """The likelier class of each target: 0 below a half, 1 above, 0.5 at it; -1 stays -1."""
    return np.where(targets < 0, -1.0, 0.5 + 0.5 * np.sign(targets.astype(np.float64) - 0.5))


def ratio_counts(safe: int, injurious: int, *, safe_per_injurious: float) -> tuple[int, int]:
    """As many safe and injurious rows as possible in the stated ratio; at least one of each."""
    if safe >= safe_per_injurious * injurious:
        return max(1, round(safe_per_injurious * injurious)), injurious
    return safe, max(1, round(safe / safe_per_injurious))


def _labelled(targets: NDArray[np.float32], ids: Sequence[str], options: MixtureOptions) -> NDArray[np.float32]:
    """Targets as simulated labellers within a budget leave them; tied votes are treated like rows that are unsure."""
    unsure = targets == 0.5
    targets = labelled_targets(targets, ids, options.labelling)
    tied = (targets == 0.5) & ~unsure
    targets[tied] = _UNSURE_TARGETS[options.unsure]
    return targets


def _thinned(
    targets: NDArray[np.float32], chances: NDArray[np.uint64], *, safe_per_injurious: float
) -> NDArray[np.float32]:
    """`targets` with -1 for the rows that the ratio has no room for.

    Soft rows are thinned like the class that is thinned most: all of them would outweigh the rare class.
    """
    of_class = {target: np.flatnonzero(class_of(targets) == target) for target in (0.0, 0.5, 1.0)}
    safe, injurious = ratio_counts(len(of_class[0.0]), len(of_class[1.0]), safe_per_injurious=safe_per_injurious)
    share = min(safe / len(of_class[0.0]), injurious / len(of_class[1.0]))
    thinned = np.full_like(targets, -1.0)
    for target, count in ((0.0, safe), (0.5, round(share * len(of_class[0.5]))), (1.0, injurious)):
        rows = of_class[target]
        kept = rows[np.argsort(chances[rows], kind="stable")[:count]]
        thinned[kept] = targets[kept]
    return thinned


def _chances(ids: Sequence[str], *, seed: int) -> NDArray[np.uint64]:
    """A number for each row that its id and the seed decide: the rows with the smallest ones are kept."""
    digests = (hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest() for name in ids)
    return np.array([int.from_bytes(digest, "big") for digest in digests], dtype=np.uint64)


def _require_both_classes(targets: NDArray[np.float32]) -> None:
    missing = [name for name, target in (("injurious", 1.0), ("safe", 0.0)) if not (class_of(targets) == target).any()]
    if missing:
        raise ConfigError(
            f"no {' and no '.join(missing)} row is left to train on; check the labels, datamodule.sources, "
            "datamodule.label_budget and datamodule.limit_rows"
        )
