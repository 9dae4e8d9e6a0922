"""From one score a completion to one reward a token: scaling, clipping, the KL penalty, completions that never end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from nines.errors import ConfigError
from nines.rl.masking import last_index


def token_rewards(scores: Tensor, kl: Tensor, mask: Tensor, *, coefficient: float) -> Tensor:
    """`-coefficient * kl` at each token, and the completion's score on top at its last token.

    Ziegler et al. 2019, eq. 2, with the penalty spread over the tokens that cause it.

    Args:
        scores: Shape (batch,).
        kl: Divergence from the reference at each token, shape (batch, tokens).
        mask: Shape (batch, tokens), True on the completion's tokens.
        coefficient: The KL coefficient, at least 0.

    Returns:
        Shape (batch, tokens), 0 where the mask is False.

    Raises:
        DataError: A completion without any token.
    """
    rewards = (-coefficient * kl).masked_fill(~mask, 0)
    return rewards.scatter_add(1, last_index(mask).unsqueeze(1), scores.to(rewards.dtype).unsqueeze(1))


def penalise_unfinished(scores: Tensor, finished: Tensor, *, penalty: float) -> Tensor:
    """Replace the score of each completion that ran into the length limit by `penalty`.

    A classifier reads a torn sentence as it pleases, so its score of one says nothing (Huang et al. 2023).

    Args:
        scores: Shape (batch,).
        finished: Shape (batch,), True where the completion reached its end.
        penalty: Usually the lowest score that occurs, or lower.
    """
    return torch.where(finished, scores, torch.full_like(scores, penalty))


class ScoreScaling:
    """Divides scores by their running standard deviation, and clips them; the mean stays, as it carries meaning.

    Args:
        scale: Whether to divide. The deviation is over all scores seen so far (Welford 1962), those of this batch too.
        clip: Largest absolute value after scaling, above 0; None for no limit.

    Raises:
        ConfigError: `clip` is not above 0.
    """

    def __init__(self, *, scale: bool = False, clip: float | None = None) -> None:
        if clip is not None and not (math.isfinite(clip) and clip > 0):
            raise ConfigError(f"reward: clip must be above 0, got {clip}; use null for no limit")
        self.scale = scale
        self.clip = clip
        self.count = 0
        self.mean = 0.0
        self.squares = 0.0

    def __call__(self, scores: Tensor) -> Tensor:
        """Scaled and clipped scores, shape (batch,). Give it the scores of all ranks, or their scales drift apart."""
        if self.scale:
            for score in scores.double().tolist():
                self.count += 1
                step = score - self.mean
                self.mean += step / self.count
                self.squares += step * (score - self.mean)
            if self.count > 1 and self.squares > 0:
                scores = scores / math.sqrt(self.squares / (self.count - 1))
        return scores if self.clip is None else scores.clamp(-self.clip, self.clip)

    def state_dict(self) -> dict[str, Any]:
        """Count, mean and sum of squared deviations of all scores so far."""
        return {"count": self.count, "mean": self.mean, "squares": self.squares}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what a checkpoint kept."""
        self.count, self.mean, self.squares = int(state["count"]), float(state["mean"]), float(state["squares"])
