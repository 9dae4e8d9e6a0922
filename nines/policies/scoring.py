"""Asks a scorer about attempts, and makes scorers of functions on pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from nines.errors import DivergedError, NinesError
from nines.policies.attempts import Attempt, Scorer


def score_attempts(scorer: Scorer, prompts: Sequence[str], attempts: Sequence[tuple[int, Attempt]]) -> list[float]:
    """The score of each attempt, given with the place of its prompt in `prompts`; the scorer is asked once.

    Raises:
        DivergedError: A score is nan: comparing it with a threshold would decide silently.
        NinesError: The scorer gave another number of scores than it was asked for.
    """
    if not attempts:
        return []
    scores = np.asarray(
        scorer([prompts[prompt] for prompt, _ in attempts], [attempt.text for _, attempt in attempts]),
        dtype=np.float64,
    )
    if scores.shape != (len(attempts),):
        raise NinesError(f"the scorer was asked for {len(attempts)} scores and gave an array of shape {scores.shape}")
    if np.isnan(scores).any():
        place = int(np.flatnonzero(np.isnan(scores))[0])
        raise DivergedError(f"the scorer gave nan for {attempts[place][1].text!r}; it cannot be used as a filter")
    return [float(score) for score in scores]


def scorer_of_pairs(scores: Callable[[Sequence[tuple[str, str]]], NDArray[np.float64]]) -> Scorer:
    """A scorer from a function on (prompt, completion) pairs, such as that of a trained classifier."""

    def scorer(prompts: Sequence[str], completions: Sequence[str]) -> NDArray[np.float64]:
        return scores(list(zip(prompts, completions, strict=True)))

    return scorer
