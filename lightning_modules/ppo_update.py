"""The loss of one forward pass of an update, and the figures of a whole iteration's updates over all ranks."""

from __future__ import annotations

import torch
from torch import Tensor

from nines.models.actor_critic import TokenFigures
from nines.rl.losses import policy_loss, value_loss
from nines.rl.masking import masked_mean, masked_sum
from nines.rl.options import PPOOptions
from nines.rl.rollout import Rollout, Targets

SUMS = ("tokens", "policy_loss", "value_loss", "clip_fraction", "value_clip_fraction", "ratio", "kl_to_old")


def ppo_loss(
    figures: TokenFigures, rollout: Rollout, targets: Targets, options: PPOOptions, *, count: float
) -> tuple[Tensor, Tensor]:
    """Clipped policy loss, clipped value loss and entropy bonus (Schulman et al. 2017, eq. 9).

    Args:
        figures: Of the policy and value head in training, for the rows of `rollout`.
        rollout: The rows of this pass.
        targets: Their advantages and returns.
        options: Clip ranges and coefficients.
        count: Tokens of the whole minibatch over all ranks, so that passes and ranks add up to its mean.

    Returns:
        This pass' part of the mean loss over the minibatch, and the figures named in `SUMS`, each summed over the
        tokens of the pass, float64, shape (len(SUMS),).
    """
    mask = rollout.mask
    policy = policy_loss(
        figures.log_probs, rollout.log_probs, targets.advantages, mask, clip_range=options.clip_range, count=count
    )
    loss, tokens = policy.loss, mask.sum()
    value_sum = value_clipped = torch.zeros_like(policy.loss)
    if options.needs_values:
        value = value_loss(
            figures.values, rollout.values, targets.returns, mask, clip_range=options.value_clip_range, count=count
        )
        loss = loss + options.value_coefficient * value.loss
        value_sum, value_clipped = value.loss.detach() * count, value.clip_fraction * tokens
    if figures.entropy is not None and options.entropy_coefficient > 0:
        loss = loss - options.entropy_coefficient * masked_mean(figures.entropy, mask, count=count)
    sums = [
        tokens,
        policy.loss.detach() * count,
        value_sum,
        policy.clip_fraction * tokens,
        value_clipped,
        policy.ratio * tokens,
        policy.kl_to_old * tokens,
    ]
    return loss, torch.stack([value.double() for value in sums])


def imitation_loss(figures: TokenFigures, rollout: Rollout, *, count: float) -> tuple[Tensor, Tensor]:
    """Cross-entropy of completions that were chosen for imitation; arguments and result as for `ppo_loss`."""
    mask = rollout.mask
    summed = -masked_sum(figures.log_probs, mask)
    sums = torch.zeros(len(SUMS), dtype=torch.float64, device=mask.device)
    sums[0], sums[1] = mask.sum(), summed.detach()
    return summed / count, sums


class UpdateFigures:
    """What the updates of one iteration showed, averaged over tokens: of all minibatches, and of the first."""

    def __init__(self) -> None:
        self.total: Tensor | None = None
        self.first: dict[str, float] | None = None
        self.updates = 0

    def add(self, sums: Tensor) -> dict[str, float]:
        """Take the sums of one minibatch over all its passes and ranks; its own averages."""
        averages = averages_of(sums)
        self.first = self.first or averages
        self.total = sums.clone() if self.total is None else self.total + sums
        self.updates += 1
        return averages

    def averages(self) -> dict[str, float]:
        """Over all minibatches; nothing if there was none."""
        return {} if self.total is None else averages_of(self.total)


def averages_of(sums: Tensor) -> dict[str, float]:
    """Each sum but the first over the tokens, by name."""
    values = sums.tolist()
    return {name: value / values[0] for name, value in zip(SUMS[1:], values[1:], strict=True)}
