"""Judges of pairs behind one small protocol: people whose answers are stored, a reward model, any callable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nines.errors import DataError
from nines.statistics.quality import EVEN

WINS = {"a": 1.0, "tie": EVEN, "b": 0.0}


class Judge(Protocol):
    """Anything that says of two completions of a prompt which one continues it better."""

    def __call__(self, prompts: Sequence[str], first: Sequence[str], second: Sequence[str]) -> NDArray[np.float64]:
        """P(first is better) + ½ P(tie) of each pair, in [0, 1], `(pairs,)`; NaN where the judge has no answer."""
        ...


class StoredAnswers:
    """What people (or models) answered before, found by the texts of the pair, whichever stood first.

    Args:
        answers: Prompt, completion a, completion b, preference (a, b or tie). Several answers to one pair are averaged.

    Raises:
        DataError: A preference is none.
    """

    def __init__(self, answers: Iterable[tuple[str, str, str, str]]) -> None:
        self._found: dict[tuple[str, str, str], list[float]] = {}
        for prompt, a, b, preference in answers:
            if preference not in WINS:
                raise DataError(f"a preference must be a, b or tie, got {preference!r}")
            self._found.setdefault((prompt, a, b), []).append(WINS[preference])
            self._found.setdefault((prompt, b, a), []).append(1 - WINS[preference])

    def __call__(self, prompts: Sequence[str], first: Sequence[str], second: Sequence[str]) -> NDArray[np.float64]:
        """As `Judge`."""
        found = [self._found.get(pair, [np.nan]) for pair in zip(prompts, first, second, strict=True)]
        return np.array([float(np.mean(one)) for one in found])


class PreferenceJudge:
    """A judge from P(first), P(tie), P(second), such as `RewardScorer.preferences` gives.

    Args:
        preferences: From prompts, first and second completions to `(pairs, 3)`.
    """

    def __init__(
        self, preferences: Callable[[Sequence[str], Sequence[str], Sequence[str]], NDArray[np.float64]]
    ) -> None:
        self._preferences = preferences

    def __call__(self, prompts: Sequence[str], first: Sequence[str], second: Sequence[str]) -> NDArray[np.float64]:
        """As `Judge`."""
        chances = np.asarray(self._preferences(prompts, first, second), dtype=np.float64)
        return checked(chances[:, 0] + EVEN * chances[:, 1], len(prompts))


class CallableJudge:
    """A function of one's own, asked for both orders, so that leaning to what it reads first cancels.

    Args:
        function: From prompts, first and second completions to a share in [0, 1] of each pair.
    """

    def __init__(self, function: Callable[[Sequence[str], Sequence[str], Sequence[str]], ArrayLike]) -> None:
        self._function = function

    def __call__(self, prompts: Sequence[str], first: Sequence[str], second: Sequence[str]) -> NDArray[np.float64]:
        """As `Judge`."""
        one = checked(self._function(prompts, first, second), len(prompts))
        other = checked(self._function(prompts, second, first), len(prompts))
        return np.asarray((one + 1 - other) / 2)


def checked(shares: ArrayLike, length: int) -> NDArray[np.float64]:
    """What a judge gave, as float64 `(length,)`.

    Raises:
        DataError: Another number of answers, or one that is neither in [0, 1] nor NaN.
    """
    values = np.asarray(shares, dtype=np.float64)
    if values.shape != (length,):
        raise DataError(f"a judge must give {length} shares, one a pair, got shape {values.shape}")
    if ((values < 0) | (values > 1)).any():
        raise DataError("a judge must give shares in [0, 1]: 1 the first is better, 0.5 a tie, 0 the second is")
    return values
