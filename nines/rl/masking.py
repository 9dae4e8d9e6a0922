"""Sums and moments over the tokens that count, whatever padding holds, for one process or many.

A mask is a boolean tensor of shape (batch, tokens): True where a token was sampled by the policy, False on padding.
What lies under False never matters, not even infinities and NaN.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nines.errors import DataError


def masked_sum(values: Tensor, mask: Tensor) -> Tensor:
    """Sum of `values` where `mask` is True, a scalar; gradients elsewhere are exactly zero."""
    return values.masked_fill(~mask, 0).sum()


def masked_mean(values: Tensor, mask: Tensor, *, count: float | Tensor | None = None) -> Tensor:
    """Mean of `values` where `mask` is True, a scalar.

    Args:
        values: Shape (batch, tokens).
        mask: Shape (batch, tokens).
        count: What to divide by instead of the number of True: the tokens of all minibatches and ranks together, so
            that a loss does not depend on how a batch was divided.

    Raises:
        DataError: No token counts.
    """
    if count is None:
        count = mask.sum()
        if not bool(count):
            raise DataError("there is no token to average over: every completion of this batch is empty")
    return masked_sum(values, mask) / count


def moments(values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Number, mean and unbiased variance of the values where `mask` is True, each a scalar.

    Raises:
        DataError: Fewer than two tokens count, so that no variance exists.
    """
    number = mask.sum()
    if int(number) < 2:
        raise DataError(f"whitening needs at least 2 tokens, got {int(number)}; use longer completions or more of them")
    mean = masked_sum(values, mask) / number
    variance = masked_sum((values - mean).square(), mask) / (number - 1)
    return number, mean, variance


def combine_moments(parts: list[tuple[Tensor, Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    """Number, mean and variance of all values from those of disjoint parts (Chan, Golub and LeVeque 1979).

    What each rank computed for itself gives every rank the moments of the whole batch, without sending the values.
    """
    numbers, means, variances = (torch.stack([part[index].double() for part in parts]) for index in range(3))
    number = numbers.sum()
    mean = (numbers * means).sum() / number
    squares = ((numbers - 1) * variances).sum() + (numbers * (means - mean).square()).sum()
    return number, mean, squares / (number - 1)


def whiten(
    values: Tensor,
    mask: Tensor,
    *,
    shift_mean: bool = True,
    statistics: tuple[Tensor, Tensor] | None = None,
    epsilon: float = 1e-8,
) -> Tensor:
    """Scale `values` to unit variance over the tokens that count, and shift their mean to 0.

    Args:
        values: Shape (batch, tokens).
        mask: Shape (batch, tokens).
        shift_mean: Whether to move the mean; rewards are whitened without, advantages with (Ziegler et al. 2019, code).
        statistics: Mean and variance to use instead of those of this batch, such as those over all ranks.
        epsilon: Added to the variance.

    Returns:
        Shape (batch, tokens), 0 where the mask is False.

    Raises:
        DataError: Fewer than two tokens count and no statistics are given.
    """
    mean, variance = statistics if statistics is not None else moments(values, mask)[1:]
    mean, variance = mean.to(values.dtype), variance.to(values.dtype)
    whitened = (values - mean) * torch.rsqrt(variance + epsilon)
    if not shift_mean:
        whitened = whitened + mean
    return whitened.masked_fill(~mask, 0)


def last_index(mask: Tensor) -> Tensor:
    """Position of the last True in each row, shape (batch,).

    Raises:
        DataError: A row without any.
    """
    if not bool(mask.any(dim=1).all()):
        empty = int((~mask.any(dim=1)).nonzero()[0])
        raise DataError(f"completion {empty} of the batch has no token at all")
    positions = torch.arange(mask.shape[1], device=mask.device)
    return torch.where(mask, positions, -1).amax(dim=1)
