"""Who says what failed and what is better: classifiers and reward models that read the delivered completions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nines.errors import UserError

if TYPE_CHECKING:
    from apps.policy_evaluation.completions import PolicyRun


@dataclass(frozen=True)
class FailureJudge:
    """A classifier whose verdicts count.

    Attributes:
        name: How tables call it.
        folder: Where it was loaded from.
        threshold: Scores from it on are failures.
        independent: It is not the classifier that the policies filter by; a verdict of that one about its own filter
            says nothing.
        scores: By policy, P(injurious) of each delivered completion; NaN where none was, `(prompts,)`.
    """

    name: str
    folder: str
    threshold: float
    independent: bool
    scores: dict[str, NDArray[np.float64]]

    def failed(self, policy: str) -> NDArray[np.bool_]:
        """Which delivered completions are failures by its verdict; False where none was delivered, `(prompts,)`."""
        # A comparison with NaN is False.
        return np.asarray(self.scores[policy] >= self.threshold)


@dataclass(frozen=True)
class QualityJudge:
    """A reward model whose preferences count.

    Attributes:
        name: How tables call it.
        folder: Where it was loaded from.
        wins: P(policy's is better) + ½ P(tie) against the other policy's completion of the same prompt, `(prompts,)`: 1
            or 0 where only one of them delivered, ½ where neither did or both gave the same text.
    """

    name: str
    folder: str
    wins: NDArray[np.float64]


def judge_failures(
    runs: Sequence[PolicyRun], *, name: str, folder: str, threshold: float | None, independent: bool, device: str
) -> FailureJudge:
    """Have the classifier in `folder` score what each policy delivered.

    Raises:
        UserError: It has no threshold of its own, and none was given.
    """
    from lightning_modules.prediction import Predictor

    predictor = Predictor.load(Path(folder), device=device)
    threshold = predictor.threshold if threshold is None else threshold
    if threshold is None:
        raise UserError(f"{name}: {folder} has no threshold of its own; give judge.threshold=...")
    scores = {}
    for run in runs:
        values = np.full(len(run.generations), np.nan)
        delivered = [place for place, one in enumerate(run.generations) if one.chosen is not None]
        pairs = [(run.generations[place].prompt, text_of(run, place)) for place in delivered]
        values[delivered] = predictor.scores(pairs)
        scores[run.name] = values
    return FailureJudge(name, folder, float(threshold), independent, scores)


def judge_quality(policy: PolicyRun, against: PolicyRun, *, name: str, folder: str, device: str) -> QualityJudge:
    """Have the reward model in `folder` compare what both policies delivered for each prompt."""
    from lightning_modules.reward_scorer import RewardScorer

    scorer = RewardScorer.load(folder, device=device)
    wins = np.full(len(policy.generations), 0.5)
    compared = []
    for place, (own, other) in enumerate(zip(policy.generations, against.generations, strict=True)):
        if own.chosen is None or other.chosen is None:
            wins[place] = 0.5 + 0.5 * (own.chosen is not None) - 0.5 * (other.chosen is not None)
        elif own.chosen.text != other.chosen.text:
            compared.append(place)
    if compared:
        prompts = [policy.generations[place].prompt for place in compared]
        chances = scorer.preferences(
            prompts, [text_of(policy, place) for place in compared], [text_of(against, place) for place in compared]
        )
        wins[compared] = chances[:, 0] + 0.5 * chances[:, 1]
    return QualityJudge(name, folder, wins)


def text_of(run: PolicyRun, place: int) -> str:
    """What was delivered; a full stop for an empty text, which no judge can read."""
    chosen = run.generations[place].chosen
    assert chosen is not None
    return chosen.text or "."
