"""From a rollout to what an update aims at: penalised rewards, advantages, or the completions worth imitating."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from nines.errors import DataError
from nines.rl.advantages import generalized_advantages, leave_one_out_advantages
from nines.rl.kl import ESTIMATORS
from nines.rl.masking import whiten
from nines.rl.options import PPOOptions
from nines.rl.rewards import token_rewards
from nines.rl.rollout import Rollout, Targets


def penalised_rewards(rollout: Rollout, scores: Tensor, options: PPOOptions, *, coefficient: float) -> Tensor:
    """Reward of each token: the KL penalty at each, the completion's score at its last.

    Args:
        rollout: What was sampled.
        scores: Scaled and clipped scores, shape (completions,).
        options: Estimator of the KL.
        coefficient: The KL coefficient.

    Returns:
        Shape (completions, completion width).
    """
    kl = ESTIMATORS[options.kl_estimator](rollout.log_probs, rollout.reference_log_probs)
    return token_rewards(scores, kl, rollout.mask, coefficient=coefficient)


def advantages_and_returns(rollout: Rollout, rewards: Tensor, options: PPOOptions) -> Targets:
    """Advantages, whitened where options ask for it, and the value head's targets.

    With `leave_one_out` every token of a completion has the completion's advantage (Ahmadian et al. 2024).
    """
    mask = rollout.mask
    if options.whiten_rewards:
        rewards = whiten(rewards, mask, shift_mean=False)
    if options.advantage == "gae":
        advantages, returns = generalized_advantages(
            rewards, rollout.values, mask, discount=options.discount, trace_decay=options.trace_decay
        )
    else:
        advantages = leave_one_out(rewards.sum(dim=1), rollout.completions.prompt).unsqueeze(1) * mask
        returns = torch.zeros_like(advantages)
    if options.whiten_advantages == "batch":
        advantages = whiten(advantages, mask)
    return Targets(advantages, returns)


def leave_one_out(scores: Tensor, prompts: Tensor) -> Tensor:
    """Each score minus the mean of its siblings, shape (completions,), in the order given.

    Args:
        scores: Shape (completions,).
        prompts: Number of each completion's prompt; each must occur equally often, and at least twice.

    Raises:
        DataError: Prompts have different numbers of completions, or only one.
    """
    order, siblings = _by_prompt(prompts)
    advantages = torch.empty_like(scores)
    advantages[order] = leave_one_out_advantages(scores[order].view(-1, siblings)).flatten()
    return advantages


def worth_imitating(scores: Tensor, finished: Tensor, prompts: Tensor, options: PPOOptions) -> Tensor:
    """Which completions rejection sampling trains on: the best of each prompt that are good enough, and whole.

    Args:
        scores: Shape (completions,).
        finished: Whether each reached its end.
        prompts: Number of each completion's prompt.
        options: `keep_best` and `accept_above`.

    Returns:
        Boolean, shape (completions,); possibly none at all.
    """
    order, siblings = _by_prompt(prompts)
    usable = torch.where(finished, scores, torch.full_like(scores, -math.inf))[order].view(-1, siblings)
    count = max(1, int(options.keep_best * siblings))
    best = usable.topk(count, dim=1).indices
    chosen = torch.zeros_like(usable, dtype=torch.bool).scatter(1, best, value=True)
    chosen &= usable > (-math.inf if options.accept_above is None else options.accept_above)
    kept = torch.zeros_like(finished)
    kept[order] = chosen.flatten()
    return kept


def _by_prompt(prompts: Tensor) -> tuple[Tensor, int]:
    """Rows sorted by prompt, and how many each prompt has.

    Raises:
        DataError: They differ.
    """
    counts = torch.unique(prompts, return_counts=True)[1]
    if not bool((counts == counts[0]).all()):
        raise DataError(
            f"prompts have between {int(counts.min())} and {int(counts.max())} completions; siblings can only be "
            "compared in equal numbers"
        )
    return torch.argsort(prompts, stable=True), int(counts[0])
