"""What a reward model must beat: preferences predicted from the lengths of two completions, and from their words.

Both are logistic regressions on the difference of the two completions' features without an intercept, so that
exchanging the completions exchanges the probabilities. The regularisation strength is chosen on validation data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from nines.errors import DataError
from nines.statistics.comparisons import TIE, JudgedPairs

Triple = tuple[str, str, str]
STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
ENOUGH_TO_DROP_SINGLES = 200
"""Training pairs from which on a word that comes once is left out."""


class PreferenceBaseline(Protocol):
    """Predicts which of two completions is preferred."""

    name: str

    def fit(
        self, train: Sequence[Triple], judged: JudgedPairs, *, valid: Sequence[Triple], valid_judged: JudgedPairs
    ) -> PreferenceBaseline:
        """Learn from `train`; strengths are chosen on `valid`."""

    def differences(self, pairs: Sequence[Triple]) -> NDArray[np.float64]:
        """Log-odds that the first is preferred, `(pairs,)`."""


class _DifferenceRegression:
    """Logistic regression on `features(first) - features(second)`; ties take no part in fitting."""

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = seed
        self._model: LogisticRegression | None = None

    def fit(
        self, train: Sequence[Triple], judged: JudgedPairs, *, valid: Sequence[Triple], valid_judged: JudgedPairs
    ) -> Any:
        """Learn from `train`, choosing the strength by log loss on `valid`.

        Raises:
            DataError: No training pair, or no validation pair, has a preference.
        """
        self._learn_features(train)
        seen, outcome = self._decided(train, judged)
        chosen_on, held = self._decided(valid, valid_judged)
        candidates = [
            LogisticRegression(C=strength, fit_intercept=False, max_iter=2000, random_state=self.seed).fit(
                # Each pair in both orders: with one alone a class could be missing.
                sparse.vstack([seen, -seen]),
                np.concatenate([outcome, -outcome]),
            )
            for strength in STRENGTHS
        ]
        self._model = min(
            candidates, key=lambda model: float(np.logaddexp(0, -held * model.decision_function(chosen_on)).mean())
        )
        return self

    def differences(self, pairs: Sequence[Triple]) -> NDArray[np.float64]:
        """Log-odds that the first is preferred, `(pairs,)`.

        Raises:
            DataError: Nothing was fitted.
        """
        if self._model is None:
            raise DataError("fit the baseline before asking it for scores")
        return np.asarray(self._model.decision_function(self._features(pairs)), dtype=np.float64)

    def _decided(self, pairs: Sequence[Triple], judged: JudgedPairs) -> tuple[Any, NDArray[np.int8]]:
        rows = np.flatnonzero(judged.outcomes != TIE)
        if len(rows) == 0:
            raise DataError("a baseline needs pairs with a preference, and all of them are ties")
        return self._features(pairs)[rows], judged.outcomes[rows]

    def _learn_features(self, pairs: Sequence[Triple]) -> None:
        """Learn what features depend on, if anything."""

    def _features(self, pairs: Sequence[Triple]) -> Any:
        """Differences of features, sparse `(pairs, features)`."""
        raise NotImplementedError


class LengthBaseline(_DifferenceRegression):
    """From the lengths of the two completions alone, in hundreds of characters and their logarithms."""

    name = "length"

    def _features(self, pairs: Sequence[Triple]) -> Any:
        lengths = np.array([[len(first), len(second)] for _, first, second in pairs], dtype=np.float64)
        logs = np.log1p(lengths)
        gaps = np.stack([(lengths[:, 0] - lengths[:, 1]) / 100, logs[:, 0] - logs[:, 1]], axis=1)
        return sparse.csr_matrix(gaps)


class TfidfPreferenceBaseline(_DifferenceRegression):
    """From words and word pairs of the two completions, and from how much of each the prompt said already."""

    name = "TF-IDF"

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__(seed=seed)
        self._words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)

    def _learn_features(self, pairs: Sequence[Triple]) -> None:
        if len(pairs) >= ENOUGH_TO_DROP_SINGLES:
            self._words.set_params(min_df=2)
        self._words.fit([text for _, first, second in pairs for text in (first, second)])

    def _features(self, pairs: Sequence[Triple]) -> Any:
        prompts = self._words.transform([prompt for prompt, _, _ in pairs])
        sides = [self._words.transform([pair[side] for pair in pairs]) for side in (1, 2)]
        echo = [np.asarray(side.multiply(prompts).sum(axis=1)) for side in sides]
        return sparse.hstack([sides[0] - sides[1], sparse.csr_matrix(echo[0] - echo[1])]).tocsr()
