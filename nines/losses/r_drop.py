"""R-Drop: two passes with different dropout shall agree; the penalty for it in the binary case."""

from __future__ import annotations

import torch
from torch import Tensor


def r_drop_penalty(first_logits: Tensor, second_logits: Tensor) -> Tensor:
    """The symmetric Kullback-Leibler divergence between two Bernoulli predictions, averaged over rows.

    Liang et al. 2021, section 2.1: `(KL(p || q) + KL(q || p)) / 2`. For two Bernoulli distributions with log-odds x and
    y the logarithms cancel to `(p - q) (x - y) / 2`, which needs no logarithm of a probability and so no clamping.

    Args:
        first_logits: Log-odds from one pass, shape (batch,), of any floating type.
        second_logits: Log-odds from another pass over the same rows, shape (batch,).

    Returns:
        A scalar, not negative, in float32 or wider; gradients flow into both passes.

    Raises:
        ValueError: Shapes that differ.
    """
    if first_logits.shape != second_logits.shape:
        raise ValueError(f"both passes must score the same rows, got {first_logits.shape} and {second_logits.shape}")
    precision = torch.promote_types(first_logits.dtype, torch.float32)
    first, second = first_logits.to(precision), second_logits.to(precision)
    return (0.5 * (torch.sigmoid(first) - torch.sigmoid(second)) * (first - second)).mean()
