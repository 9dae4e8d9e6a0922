"""Simulated labelling of the training split: a budget of labels, and readers who err at stated rates.

It asks what labels are worth: the labels of the data are taken as the truth, and training sees what cheaper labellers
would have said. Every random number is a hash of the seed and the row's id, so that the order of the rows does not
matter, a larger budget buys the rows of the smaller one and more, and other flip rates meet the same luck.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from nines.errors import ConfigError, nearest
from nines.statistics.consensus import majority, soft_labels
from nines.statistics.dawid_skene import dawid_skene
from nines.statistics.readings import Readings

Aggregate = Literal["majority", "soft", "dawid_skene", "dawid_skene_soft"]


@dataclass(frozen=True)
class Labelling:
    """How the labels of the training rows were bought.

    Attributes:
        budget: Labels to buy, of rows chosen by chance; a row costs one for each reading. None buys all rows.
        readings: Readings of each row by simulated labellers; None takes the labels as they are.
        missed: Mean chance that a labeller calls an injurious row safe.
        false_alarms: Mean chance that a labeller calls a safe row injurious.
        labellers: How many labellers there are; each row is read by different ones.
        spread: How much labellers differ: their error rates are beta distributed around the means with variance
            `spread * mean * (1 - mean)`. 0 makes them alike.
        aggregate: Several readings become one target: the `majority` (a tie is unsure), the share of injurious votes
            (`soft`), the likelier class under Dawid and Skene's model, or its posterior (`dawid_skene_soft`).
        seed: Decides rows, labellers and errors.
    """

    budget: int | None = None
    readings: int | None = None
    missed: float = 0.0
    false_alarms: float = 0.0
    labellers: int = 10
    spread: float = 0.0
    aggregate: Aggregate = "majority"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.aggregate not in get_args(Aggregate):
            raise ConfigError(
                f"datamodule.aggregate={self.aggregate!r} is unknown; {nearest(self.aggregate, get_args(Aggregate))}"
            )
        for name in ("missed", "false_alarms"):
            if not 0 <= getattr(self, name) < 0.5:
                raise ConfigError(f"datamodule.{name}={getattr(self, name)} must lie in [0, 0.5): better than chance")
        if not 0 <= self.spread < 1:
            raise ConfigError(f"datamodule.labeller_spread={self.spread} must lie in [0, 1)")
        if self.readings is None:
            if self.missed or self.false_alarms or self.spread:
                raise ConfigError("datamodule.missed, false_alarms and labeller_spread need datamodule.readings")
        elif not 1 <= self.readings <= self.labellers:
            raise ConfigError(f"datamodule.readings={self.readings} must lie in [1, labellers={self.labellers}]")
        if self.readings == 1 and self.aggregate.startswith("dawid_skene"):
            raise ConfigError(f"datamodule.aggregate={self.aggregate} needs datamodule.readings of at least 2")
        if self.budget is not None and self.budget < (self.readings or 1):
            raise ConfigError(f"datamodule.label_budget={self.budget} does not buy a single row")


def labelled_targets(targets: NDArray[np.float32], ids: Sequence[str], labelling: Labelling) -> NDArray[np.float32]:
    """Targets as the labelling leaves them.

    Args:
        targets: P(injurious) that training would see with every label: 0, 1, 0.5 for unsure, and -1 for rows that take
            no part, `(rows,)`. Unsure rows stay unsure: who reads them is not simulated.
        ids: Name of each row.
        labelling: The options.

    Returns:
        `(rows,)`: -1 for rows that were not bought, else what their readings say; a tie is 0.5.
    """
    chosen = np.flatnonzero(targets >= 0)
    if labelling.budget is not None:
        rows = labelling.budget // (labelling.readings or 1)
        chance = _uniform([ids[row] for row in chosen.tolist()], f"budget:{labelling.seed}")
        chosen = np.sort(chosen[np.argsort(chance, kind="stable")[:rows]])
    result = np.full_like(targets, -1.0)
    result[chosen] = targets[chosen]
    certain = chosen[targets[chosen] != 0.5]
    if labelling.readings is not None and len(certain):
        truth = targets[certain] > 0.5
        result[certain] = _aggregated(
            readings_of(truth, [ids[row] for row in certain.tolist()], labelling), labelling.aggregate
        )
    return result


def readings_of(truth: NDArray[np.bool_], ids: Sequence[str], labelling: Labelling) -> Readings:
    """What the simulated labellers say of rows with the given true classes."""
    count = labelling.readings or 1
    order = np.stack(
        [_uniform(ids, f"reader:{labelling.seed}:{labeller}") for labeller in range(labelling.labellers)], axis=1
    )
    readers = np.argsort(order, axis=1)[:, :count]
    errors = error_rates(labelling)[readers, truth.astype(np.int64)[:, None]]
    luck = np.stack([_uniform(ids, f"error:{labelling.seed}:{reading}") for reading in range(count)], axis=1)
    said = np.where(luck < errors, ~truth[:, None], truth[:, None])
    return Readings(
        items=np.repeat(np.arange(len(ids)), count),
        labellers=readers.ravel().astype(np.int64),
        responses=said.ravel().astype(np.int64),
        item_count=len(ids),
        labeller_count=labelling.labellers,
    )


def error_rates(labelling: Labelling) -> NDArray[np.float64]:
    """Chance that each labeller errs on a safe and on an injurious row, `(labellers, 2)`."""
    means = np.array([labelling.false_alarms, labelling.missed])
    rates = np.tile(means, (labelling.labellers, 1))
    if labelling.spread:
        names = [str(labeller) for labeller in range(labelling.labellers)]
        size = 1 / labelling.spread - 1
        for number in np.flatnonzero(means):
            skill = _uniform(names, f"skill:{labelling.seed}:{number}")
            rates[:, number] = stats.beta.ppf(skill, means[number] * size, (1 - means[number]) * size)
    return rates


def _aggregated(readings: Readings, aggregate: Aggregate) -> NDArray[np.float32]:
    if aggregate == "soft":
        return soft_labels(readings)[:, 1].astype(np.float32)
    if aggregate == "majority":
        labels = majority(readings)
    else:
        fitted = dawid_skene(readings)
        if aggregate == "dawid_skene_soft":
            return fitted.posterior[:, 1].astype(np.float32)
        labels = fitted.labels()
    return np.where(labels < 0, 0.5, labels).astype(np.float32)


def _uniform(names: Sequence[str], salt: str) -> NDArray[np.float64]:
    """A number in [0, 1) for each name."""
    digests = b"".join(hashlib.blake2b(f"{salt}:{name}".encode(), digest_size=8).digest() for name in names)
    return np.frombuffer(digests, dtype=">u8").astype(np.float64) / 2.0**64
