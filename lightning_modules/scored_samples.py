"""Gives sampled completions their rewards, and says which of them a filter would accept."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lightning_modules.policy_sampling import Sampled
from lightning_modules.text_rewards import ProbabilityInjurious, Scores, TextReward, WeightedSum, score
from nines.errors import DataError


def scored(reward: TextReward, sampled: Sequence[Sampled], prompts: Sequence[str]) -> list[Sampled]:
    """Completions with total and parts of their rewards; empty ones stay as they are, for `with_empty_scored`.

    Args:
        reward: What judges.
        sampled: The completions.
        prompts: The prompts of their split, by row.

    Raises:
        DataError: The reward gave another number of values than it was given texts, or one that is not finite.
    """
    judged = [one for one in sampled if one.text]
    if not judged:
        return list(sampled)
    stories, texts = [prompts[one.row] for one in judged], [one.text for one in judged]
    totals, parts = score(reward, stories, texts)
    accepted = acceptance(reward, stories, texts)
    places = iter(range(len(judged)))
    return [_with_values(one, next(places), totals, parts, accepted) if one.text else one for one in sampled]


def with_empty_scored(sampled: Sequence[Sampled]) -> list[Sampled]:
    """The same completions; an empty one, in which there is nothing to judge, gets what the worst of all others got.

    Raises:
        DataError: All are empty.
    """
    judged = [one for one in sampled if one.text]
    if not judged:
        raise DataError(f"all {len(sampled)} completions are empty: the policy ends every text at once")
    worst = min(judged, key=lambda one: one.score)
    rejected = None if worst.accepted is None else False
    return [
        one if one.text else dataclasses.replace(one, score=worst.score, parts=worst.parts, accepted=rejected)
        for one in sampled
    ]


def acceptance(reward: TextReward, prompts: Sequence[str], completions: Sequence[str]) -> NDArray[np.bool_] | None:
    """Which completions a filter by the reward's own classifier would accept; None if no part has a threshold."""
    for part in reward.parts.values() if isinstance(reward, WeightedSum) else [reward]:
        if isinstance(part, ProbabilityInjurious) and part.threshold is not None:
            return part.probabilities(prompts, completions) < part.threshold
    return None


def _with_values(
    one: Sampled,
    place: int,
    totals: Scores,
    parts: Mapping[str, Scores],
    accepted: NDArray[np.bool_] | None,
) -> Sampled:
    values = {name: float(part[place]) for name, part in parts.items()}
    accepts = None if accepted is None else bool(accepted[place])
    return dataclasses.replace(one, score=float(totals[place]), parts=values, accepted=accepts)
