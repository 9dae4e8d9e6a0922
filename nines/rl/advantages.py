"""Advantages of sampled tokens: generalized advantage estimation, and the leave-one-out baseline of RLOO."""

from __future__ import annotations

import torch
from torch import Tensor

from nines.errors import DataError


def generalized_advantages(
    rewards: Tensor, values: Tensor, mask: Tensor, *, discount: float = 1.0, trace_decay: float = 0.95
) -> tuple[Tensor, Tensor]:
    """Advantages and returns of each token (Schulman et al. 2016, eq. 16: GAE(γ, λ)).

    `delta_t = r_t + γ V_{t+1} - V_t` and `A_t = delta_t + γ λ A_{t+1}`. A completion ends with its last token: nothing
    is bootstrapped behind it, also when it ran into the length limit.

    Args:
        rewards: Shape (batch, tokens).
        values: Predicted value before each token, shape (batch, tokens).
        mask: Shape (batch, tokens); each row's True tokens must stand together.
        discount: γ, in [0, 1]; 1 for text, where no token is worth less for coming later.
        trace_decay: λ, in [0, 1]; 0 trusts the value head, 1 the sampled rewards.

    Returns:
        Advantages and returns (advantage + value), each of shape (batch, tokens), 0 where the mask is False.
    """
    rewards, values = rewards.masked_fill(~mask, 0), values.masked_fill(~mask, 0)
    advantages = torch.zeros_like(rewards)
    running = torch.zeros_like(rewards[:, 0])
    following = torch.zeros_like(values[:, 0])
    for position in reversed(range(rewards.shape[1])):
        delta = rewards[:, position] + discount * following - values[:, position]
        counts = mask[:, position]
        # Behind the last token both stay 0, so the first True from the right sees the end of its completion.
        running = torch.where(counts, delta + discount * trace_decay * running, torch.zeros_like(running))
        following = torch.where(counts, values[:, position], torch.zeros_like(following))
        advantages[:, position] = running
    return advantages, (advantages + values).masked_fill(~mask, 0)


def leave_one_out_advantages(scores: Tensor) -> Tensor:
    """Each completion's score minus the mean score of its siblings (Kool et al. 2019; Ahmadian et al. 2024).

    Args:
        scores: Shape (prompts, completions): rewards of whole completions, the KL penalty included.

    Returns:
        Shape (prompts, completions); every row sums to 0.

    Raises:
        DataError: Fewer than two completions a prompt.
    """
    siblings = scores.shape[1]
    if siblings < 2:
        raise DataError(f"RLOO compares completions of one prompt and needs at least 2 of them, got {siblings}")
    others = (scores.sum(dim=1, keepdim=True) - scores) / (siblings - 1)
    return scores - others
