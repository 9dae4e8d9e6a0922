"""The clipped losses of PPO for policy and value, with the figures by which one sees whether an update was sane."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from nines.errors import DataError
from nines.rl.masking import masked_mean


@dataclasses.dataclass(frozen=True)
class PolicyLoss:
    """The policy's loss and what to log of it.

    Attributes:
        loss: Scalar to minimise.
        clip_fraction: Share of tokens at which clipping cut the gradient off, in [0, 1].
        ratio: Mean of π_new / π_old; 1 exactly before the first update on a batch.
        kl_to_old: Mean k3 estimate of KL(π_old‖π_new), in nats a token; early stopping goes by it.
    """

    loss: Tensor
    clip_fraction: Tensor
    ratio: Tensor
    kl_to_old: Tensor


@dataclasses.dataclass(frozen=True)
class ValueLoss:
    """The value head's loss and what to log of it.

    Attributes:
        loss: Scalar to minimise.
        clip_fraction: Share of tokens whose clipped prediction was the worse one, in [0, 1].
    """

    loss: Tensor
    clip_fraction: Tensor


def policy_loss(
    log_probs: Tensor,
    old_log_probs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    clip_range: float = 0.2,
    count: float | Tensor | None = None,
) -> PolicyLoss:
    """`-mean(min(ρ A, clip(ρ, 1-ε, 1+ε) A))` with `ρ = π_new / π_old` (Schulman et al. 2017, eq. 7).

    Args:
        log_probs: Of the sampled tokens under the policy being trained, shape (batch, tokens).
        old_log_probs: Under the policy that sampled them, shape (batch, tokens), without gradient.
        advantages: Shape (batch, tokens), without gradient.
        mask: Shape (batch, tokens).
        clip_range: ε, above 0.
        count: See `nines.rl.masking.masked_mean`.
    """
    # Under the mask the difference of two paddings may overflow, and zero times infinity would be NaN.
    log_ratio = (log_probs - old_log_probs).masked_fill(~mask, 0)
    ratio = log_ratio.exp()
    unclipped = -advantages * ratio
    clipped = -advantages * ratio.clamp(1 - clip_range, 1 + clip_range)
    with torch.no_grad():
        clip_fraction = masked_mean((clipped > unclipped).float(), mask)
        # Sampled from π_old, so ρ - 1 - log ρ is the k3 estimate of KL(π_old‖π_new).
        kl_to_old = masked_mean(torch.expm1(log_ratio) - log_ratio, mask)
    loss = masked_mean(torch.maximum(unclipped, clipped), mask, count=count)
    return PolicyLoss(loss, clip_fraction, masked_mean(ratio.detach(), mask), kl_to_old)


def value_loss(
    values: Tensor,
    old_values: Tensor,
    returns: Tensor,
    mask: Tensor,
    *,
    clip_range: float | None = 0.2,
    count: float | Tensor | None = None,
) -> ValueLoss:
    """`½ mean(max((V - R)², (clip(V, V_old-ε, V_old+ε) - R)²))`, as PPO's authors implemented it.

    Args:
        values: Predictions being trained, shape (batch, tokens).
        old_values: Predictions at sampling time, shape (batch, tokens), without gradient.
        returns: Targets, shape (batch, tokens), without gradient.
        mask: Shape (batch, tokens).
        clip_range: ε in units of the value, above 0; None does not clip.
        count: See `nines.rl.masking.masked_mean`.
    """
    squared = (values - returns).square()
    if clip_range is None:
        loss = 0.5 * masked_mean(squared, mask, count=count)
        return ValueLoss(loss, torch.zeros_like(loss))
    near = torch.clamp(values, old_values - clip_range, old_values + clip_range)
    clipped = (near - returns).square()
    clip_fraction = masked_mean((clipped > squared).float().detach(), mask)
    return ValueLoss(0.5 * masked_mean(torch.maximum(squared, clipped), mask, count=count), clip_fraction)


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> Tensor:
    """`1 - Var(R - V) / Var(R)` over the tokens that count: 1 for a perfect value head, 0 for a constant, else below.

    Raises:
        DataError: Fewer than two tokens count.
    """
    targets, errors = returns[mask].double(), (returns - values)[mask].double()
    if targets.numel() < 2:
        raise DataError(f"explained variance needs at least 2 tokens, got {targets.numel()}")
    variance = targets.var()
    # Constant targets leave nothing to explain.
    return torch.zeros_like(variance) if not bool(variance > 0) else 1 - errors.var() / variance
