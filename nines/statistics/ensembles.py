"""What several classifiers say together, and how much they disagree beyond what each is unsure of by itself."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from nines.errors import ConfigError, nearest

Combination = Literal["mean", "logit_mean", "max", "quantile"]
COMBINATIONS: tuple[Combination, ...] = get_args(Combination)


def member_probabilities(values: ArrayLike) -> NDArray[np.float64]:
    """`values` as float64 `(members, items)`.

    Raises:
        ValueError: Another number of dimensions, no member, or a value outside [0, 1].
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or len(array) == 0:
        raise ValueError(f"probabilities of an ensemble must have shape (members, items), got {array.shape}")
    if not ((array >= 0) & (array <= 1)).all():  # also refuses nan
        raise ValueError("probabilities must lie in [0, 1]")
    return array


def combine(probabilities: ArrayLike, how: Combination = "mean", *, quantile: float = 0.75) -> NDArray[np.float64]:
    """One score for each item from those of all members, `(items,)`, in [0, 1].

    The maximum and high quantiles are cautious: one alarmed member suffices. They are scores, no probabilities: fix
    the threshold on them anew, since they lie above those of a single member.

    Args:
        probabilities: P(injurious) by each member, `(members, items)`.
        how: `mean` of the probabilities; `logit_mean`, the probability at the mean log-odds (a geometric mean, for
            which one member that is certain outweighs all others); `max`; or `quantile` over members.
        quantile: Which one, in [0, 1].

    Raises:
        ConfigError: `how` is unknown, or `quantile` is outside [0, 1].
        ValueError: See `member_probabilities`.
    """
    members = member_probabilities(probabilities)
    if how not in COMBINATIONS:
        raise ConfigError(f"an ensemble cannot be combined by {how!r}; {nearest(how, COMBINATIONS)}")
    if how == "mean":
        return np.asarray(members.mean(axis=0))
    if how == "logit_mean":
        smallest = np.finfo(np.float64).tiny
        odds = special.logit(np.clip(members, smallest, 1 - np.finfo(np.float64).epsneg))
        return np.asarray(special.expit(odds.mean(axis=0)))
    if how == "max":
        return np.asarray(members.max(axis=0))
    if not 0 <= quantile <= 1:
        raise ConfigError(f"the quantile over members must lie in [0, 1], got {quantile}")
    return np.asarray(np.quantile(members, quantile, axis=0))


def binary_entropy(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Entropy in nats of events of the given probabilities, 0 at 0 and 1, log 2 at ½."""
    values = np.asarray(probabilities, dtype=np.float64)
    return np.asarray(special.entr(values) + special.entr(1 - values))


def mutual_information(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Knowledge uncertainty: what the label would tell of which member is right, `(items,)`, in [0, log 2] nats.

    Entropy of the mean prediction less the members' mean entropy (BALD, Houlsby et al. 2011, eq. 2). It is 0 where all
    members agree, also where they agree that the label is a coin toss.

    Args:
        probabilities: P(injurious) by each member, `(members, items)`.

    Raises:
        ValueError: See `member_probabilities`.
    """
    members = member_probabilities(probabilities)
    return np.asarray(np.maximum(binary_entropy(members.mean(axis=0)) - binary_entropy(members).mean(axis=0), 0.0))


def vote_entropy(probabilities: ArrayLike, *, threshold: float = 0.5) -> NDArray[np.float64]:
    """Entropy in nats of the members' decisions, `(items,)` (Dagan and Engelson 1995).

    Args:
        probabilities: P(injurious) by each member, `(members, items)`.
        threshold: A member votes to reject from here on.

    Raises:
        ValueError: See `member_probabilities`.
    """
    return binary_entropy((member_probabilities(probabilities) >= threshold).mean(axis=0))


def beta_knowledge_uncertainty(injurious: NDArray[np.float64], safe: NDArray[np.float64]) -> NDArray[np.float64]:
    """`mutual_information` of an endless ensemble whose predictions are beta distributed, in nats.

    Closed form of the expected entropy of a Dirichlet (Malinin and Gales 2018, appendix C) for two classes.

    Args:
        injurious: Concentration of the injurious class, above 0; any shape.
        safe: Concentration of the safe class, same shape.
    """
    total = injurious + safe
    mean = injurious / total
    expected = special.digamma(total + 1) - (
        mean * special.digamma(injurious + 1) + (1 - mean) * special.digamma(safe + 1)
    )
    return np.asarray(np.maximum(binary_entropy(mean) - expected, 0.0))
