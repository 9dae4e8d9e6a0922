"""Which unlabelled completions to label next: signals, the higher the sooner, and the choice by them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nines.statistics.checks import finite_vector
from nines.statistics.ensembles import binary_entropy


def uncertainty(scores: ArrayLike) -> NDArray[np.float64]:
    """Entropy of each prediction in nats: highest at ½ (uncertainty sampling, Lewis and Gale 1994).

    Args:
        scores: P(injurious), `(n,)`.

    Raises:
        ValueError: No vector of finite numbers.
    """
    return binary_entropy(finite_vector(scores, "scores"))


def just_below(scores: ArrayLike, *, threshold: float) -> NDArray[np.float64]:
    """Accepted completions first, the nearest to the threshold foremost: where misses are likeliest, `(n,)`.

    Rejected ones follow, again the nearest first, for when all that would be accepted is labelled.

    Args:
        scores: P(injurious), `(n,)`.
        threshold: Accept below it.

    Raises:
        ValueError: No vector of finite numbers.
    """
    values = finite_vector(scores, "scores")
    spread = 1.0 + float(np.ptp(values)) if len(values) else 1.0
    return np.where(values < threshold, values - threshold, threshold - values - 2 * spread)


def rejected_siblings(scores: ArrayLike, prompts: ArrayLike, *, threshold: float) -> NDArray[np.float64]:
    """Share of the other completions of the same prompt that are rejected, `(n,)`; 0 where there is no other one.

    A prompt whose completions are mostly rejected is a dangerous one, and what the filter finally accepts there has
    deceived it more often.

    Args:
        scores: P(injurious), `(n,)`.
        prompts: Number or name of each completion's prompt, `(n,)`.
        threshold: Accept below it.

    Raises:
        ValueError: Lengths differ, or a score is not finite.
    """
    values = finite_vector(scores, "scores")
    names = np.asarray(prompts)
    if names.shape != values.shape:
        raise ValueError(f"prompts must have shape {values.shape}, got {names.shape}")
    _, group = np.unique(names, return_inverse=True)
    rejected = values >= threshold
    others = np.bincount(group)[group] - 1
    rejections = np.bincount(group, weights=rejected)[group] - rejected
    return np.divide(rejections, others, out=np.zeros(len(values)), where=others > 0)


def accepted_among_rejected(scores: ArrayLike, prompts: ArrayLike, *, threshold: float) -> NDArray[np.float64]:
    """Accepted completions first, those with the most rejected siblings foremost, `(n,)`; among equals `just_below`.

    Args:
        scores: P(injurious), `(n,)`.
        prompts: Number or name of each completion's prompt, `(n,)`.
        threshold: Accept below it.

    Raises:
        ValueError: Lengths differ, or a score is not finite.
    """
    values = finite_vector(scores, "scores")
    share = rejected_siblings(values, prompts, threshold=threshold)
    nearness = just_below(values, threshold=threshold)
    order = np.lexsort((nearness, np.where(values < threshold, share, -1.0)))
    ranks = np.empty(len(values))
    ranks[order] = np.arange(len(values))
    return ranks


def highest(signal: ArrayLike, count: int, *, rng: np.random.Generator) -> NDArray[np.int64]:
    """Places of the `count` highest signals, in no particular order; chance decides between equal ones.

    Args:
        signal: `(n,)`, finite; a constant one chooses at random.
        count: How many; all if there are fewer.
        rng: Breaks ties.

    Raises:
        ValueError: A signal is not finite, or the count is negative.
    """
    values = finite_vector(signal, "signal")
    if count < 0:
        raise ValueError(f"cannot choose {count} items")
    order = np.lexsort((rng.random(len(values)), -values))
    return order[:count].astype(np.int64)
