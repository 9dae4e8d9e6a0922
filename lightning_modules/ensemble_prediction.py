"""Scores from several trained classifiers together, with what they disagree about."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lightning_modules.prediction import Pair, Predictor
from nines.errors import ConfigError
from nines.statistics.ensembles import Combination, combine, mutual_information


class EnsemblePredictor:
    """Several classifiers, each with a tokenizer of its own.

    A combined score needs a threshold of its own: those of the members were fixed on other scores, so there is none
    here.

    Args:
        members: At least one.
        combination: See `nines.statistics.ensembles.combine`.
        quantile: Over members, for `combination="quantile"`.

    Raises:
        ConfigError: There is no member.
    """

    def __init__(
        self, members: Sequence[Predictor], *, combination: Combination = "mean", quantile: float = 0.75
    ) -> None:
        if not members:
            raise ConfigError("an ensemble needs at least one classifier")
        self.members = tuple(members)
        self.combination, self.quantile = combination, quantile

    def member_scores(self, pairs: Sequence[Pair], *, names: Sequence[str] | None = None) -> NDArray[np.float64]:
        """P(injurious) of each (prompt, completion) by each member, (members, pairs).

        Raises:
            DataError: A completion is longer than a member can read.
        """
        return np.stack([member.scores(pairs, names=names) for member in self.members])

    def scores(self, pairs: Sequence[Pair], *, names: Sequence[str] | None = None) -> NDArray[np.float64]:
        """The combined scores, (pairs,); arguments and errors as for `member_scores`."""
        return self.combined(self.member_scores(pairs, names=names))

    def combined(self, members: NDArray[np.float64]) -> NDArray[np.float64]:
        """From `member_scores`, the combined ones, (pairs,)."""
        return combine(members, self.combination, quantile=self.quantile)

    @staticmethod
    def knowledge_uncertainty(members: NDArray[np.float64]) -> NDArray[np.float64]:
        """From `member_scores`, what the members disagree about, in nats, (pairs,)."""
        return mutual_information(members)
