"""Quality from labels that come one prompt at a time, with an interval that holds however often one looks."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nines.statistics.checks import finite_vector
from nines.statistics.confidence_sequence import betting_ends
from nines.statistics.estimate import Estimate, NoEstimateError


def prompt_shares(shares: ArrayLike, prompts: ArrayLike) -> NDArray[np.float64]:
    """The mean share of each prompt, in the order in which prompts first occur, `(prompts,)`.

    One prompt is one step of a sequence: pairs of a prompt depend on each other, prompts do not. All prompts count
    alike.

    Args:
        shares: What the first policy got of each pair, ½ where both are accepted, in [0, 1], `(n,)`.
        prompts: Prompt of each pair, in a random order of the prompts that was fixed beforehand, `(n,)`.
    """
    values = finite_vector(shares, "shares")
    if len(np.asarray(prompts)) != len(values):
        raise ValueError(f"{len(values)} shares do not go with {len(np.asarray(prompts))} prompts")
    _, first, group = np.unique(np.asarray(prompts), return_index=True, return_inverse=True)
    means = np.bincount(group, weights=values) / np.bincount(group)
    return np.asarray(means[np.argsort(first)])


def quality_so_far(shares: ArrayLike, prompts: ArrayLike, *, confidence: float = 0.95) -> Estimate:
    """The estimate and the confidence sequence after the prompts up to now.

    The chance that *any* of the intervals that one ever looks at misses the truth is at most one minus `confidence`
    (`betting_ends`), so it is allowed to stop at the first interval that is narrow enough, or wholly above or below a
    level (`nines.statistics.confidence_sequence.decide`), and to go on after a look that disappoints. The estimate at
    a stopping time is the plain mean: it leans to the side on which the sequence stopped; the interval does not care.

    Args:
        shares: As for `prompt_shares`, `(n,)`.
        prompts: As for `prompt_shares`, `(n,)`.
        confidence: Nominal coverage over all looks, in (0, 1).

    Raises:
        NoEstimateError: There is no pair yet.
        ValueError: A share lies outside [0, 1], or shapes differ.
    """
    if len(np.asarray(prompts)) == 0:
        raise NoEstimateError("there is no judged prompt yet")
    steps = prompt_shares(shares, prompts)
    lower, upper = betting_ends(steps, confidence=confidence)
    return Estimate(
        estimate=float(steps.mean()),
        lower=float(lower),
        upper=float(upper),
        confidence=confidence,
        method="quality, confidence sequence by betting",
        items=len(steps),
        effective_items=float(len(steps)),
    )
