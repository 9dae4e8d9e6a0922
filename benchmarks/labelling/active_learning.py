"""Active learning on a pool whose labels are known and held back, and a signal that may select or decide.

Every strategy starts from the same labels bought by chance, and buys round after round those that its signal ranks
highest under the ensemble of heads that was trained on what it has. All strategies train alike, so they differ in
nothing but the choice.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from benchmarks.labelling.material import FALSE_POSITIVE_RATE, Material, judge
from nines.models.head_ensemble import HeadEnsemble, varied
from nines.statistics.acquisition import (
    accepted_among_rejected,
    highest,
    just_below,
    rejected_siblings,
    uncertainty,
)
from nines.statistics.ensembles import combine, mutual_information, vote_entropy
from nines.statistics.thresholds import fix_threshold


@dataclasses.dataclass(frozen=True)
class Scored:
    """What is known of unlabelled rows when they are ranked.

    Attributes:
        members: P(injurious) by each member, (members, rows).
        prompts: Number of each row's prompt, (rows,).
        threshold: Accept below it: fixed on validation for the mean of the members.
    """

    members: NDArray[np.float64]
    prompts: NDArray[np.int64]
    threshold: float

    @property
    def scores(self) -> NDArray[np.float64]:
        """The members' mean, (rows,)."""
        return combine(self.members)


Signal = Callable[[Scored], NDArray[np.float64]]
"""What to rank rows by, the higher the sooner, (rows,)."""

RANDOM = "random"
SIGNALS: dict[str, Signal] = {
    RANDOM: lambda rows: np.zeros(len(rows.prompts)),
    "uncertainty": lambda rows: uncertainty(rows.scores),
    "just below the threshold": lambda rows: just_below(rows.scores, threshold=rows.threshold),
    "mutual information": lambda rows: mutual_information(rows.members),
    "vote entropy": lambda rows: vote_entropy(rows.members, threshold=rows.threshold),
    "accepted among rejected": lambda rows: accepted_among_rejected(
        rows.scores, rows.prompts, threshold=rows.threshold
    ),
}
DECIDING: dict[str, Signal] = {
    "mutual information": SIGNALS["mutual information"],
    "rejected siblings": lambda rows: rejected_siblings(rows.scores, rows.prompts, threshold=rows.threshold),
}
"""Signals that a filter can have at run time."""

SELECTING = {"mutual information": "mutual information", "rejected siblings": "accepted among rejected"}
"""The strategy that buys labels by each of them."""


def fitted(pool: Material, bought: NDArray[np.int64], *, members: int, seed: int) -> HeadEnsemble:
    """The ensemble of what is labelled so far."""
    own = pool.take(bought)
    ensemble = HeadEnsemble(varied(members, seed=seed), seed=seed)
    return ensemble.fit(own.features, own.injurious.astype(np.float64), prompts=own.rows.prompts)


def learn(
    splits: dict[str, Material], strategy: str, *, budgets: Sequence[int], members: int, seed: int
) -> tuple[list[dict[str, float]], HeadEnsemble]:
    """The learning curve of one strategy and seed: figures at each budget, and the last ensemble.

    Args:
        splits: Pool (`train`), `valid` for thresholds, `test` for figures.
        strategy: Of `SIGNALS`.
        budgets: Labels bought in all, ascending; the first ones by chance.
        members: Heads of the ensemble.
        seed: Of the first labels, of ties and of the heads.
    """
    pool, valid, test = splits["train"], splits["valid"], splits["test"]
    rng = np.random.default_rng(seed)
    bought = rng.permutation(len(pool.rows))[: budgets[0]]
    curve: list[dict[str, float]] = []
    for place, budget in enumerate(budgets):
        ensemble = fitted(pool, bought, members=members, seed=seed)
        on_valid = combine(ensemble.probabilities(valid.features))
        figures = judge(on_valid, valid, combine(ensemble.probabilities(test.features)), test)
        curve.append({"labels": budget, "injurious": float(pool.injurious[bought].mean()), **figures})
        if place + 1 < len(budgets):
            rest = np.setdiff1d(np.arange(len(pool.rows)), bought)
            threshold = fix_threshold(on_valid, valid.rows, rate=FALSE_POSITIVE_RATE).threshold
            scored = Scored(ensemble.probabilities(pool.features[rest]), pool.rows.prompts[rest], threshold)
            signal = SIGNALS[strategy](scored)
            bought = np.concatenate([bought, rest[highest(signal, budgets[place + 1] - budget, rng=rng)]])
    return curve, ensemble


def decide(splits: dict[str, Material], ensemble: HeadEnsemble, signal: Signal, *, seed: int) -> dict[str, Any]:
    """What the signal is worth at run time: figures of the score alone, and of score and signal together.

    A logistic regression on log-odds and signal is fitted on half of the validation prompts; the thresholds of both are
    fixed on the other half, so that both have the same safe rows behind them.
    """
    from sklearn.linear_model import LogisticRegression

    valid, test = splits["valid"], splits["test"]
    rng = np.random.default_rng(seed)
    half = rng.permutation(int(valid.rows.prompts.max()) + 1)[valid.rows.prompts] % 2 == 0
    fitting, fixing = valid.take(half), valid.take(~half)
    on_fitting = ensemble.probabilities(fitting.features)
    threshold = fix_threshold(combine(on_fitting), fitting.rows, rate=FALSE_POSITIVE_RATE).threshold

    def features(part: Material) -> NDArray[np.float64]:
        scored = Scored(ensemble.probabilities(part.features), part.rows.prompts, threshold)
        return np.stack([special.logit(scored.scores), signal(scored)], axis=1)

    model = LogisticRegression(C=1.0, max_iter=1000).fit(features(fitting), fitting.injurious)

    def together(part: Material) -> NDArray[np.float64]:
        return np.asarray(model.predict_proba(features(part))[:, 1])

    def alone(part: Material) -> NDArray[np.float64]:
        return combine(ensemble.probabilities(part.features))

    return {
        name: judge(score(fixing), fixing, score(test), test)
        for name, score in (("score alone", alone), ("score and signal", together))
    }
