"""Attention for training in bf16 on a CPU, where torch's fused kernel is slow backwards; elsewhere the fused kernel.

For 32 rows of 97 tokens in 12 heads of width 32, forward and backward take 82 ms with `scaled_dot_product_attention`
and 19 ms with two batched products and a softmax (one thread of an AMD EPYC with AVX-512 bf16, torch 2.13). In fp32
the fused kernel wins, 30 ms against 38.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nines.models.fast_dropout import fast_dropout

NAME = "nines_products"
"""The `attn_implementation` under which transformers finds it, once `register` was called."""

_LONGEST = 512
"""With more keys than this the table of weights, (batch, heads, tokens, tokens), would cost more than it saves."""


def register() -> None:
    """Make transformers know this attention, with the masks of its sdpa attention: True where a token may be seen."""
    from transformers import AttentionInterface, AttentionMaskInterface

    known_masks: Any = AttentionMaskInterface  # untyped in transformers
    AttentionInterface.register(NAME, attention)
    known_masks.register(NAME, known_masks()["sdpa"])


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None = None,
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Scaled dot product attention (Vaswani et al. 2017, equation 1).

    Args:
        module: The layer that asks, as transformers hands it over.
        query: (batch, heads, queries, width).
        key: (batch, heads, tokens, width).
        value: (batch, heads, tokens, width).
        attention_mask: (batch, 1, queries or 1, tokens) bool, True where a token may be seen; None if all may.
        dropout: Probability on the weights.
        scaling: Factor on the products; by default width ** -0.5.
        **others: What transformers hands to its own attention functions.

    Returns:
        (batch, queries, heads, width), and None for the weights.
    """
    products = query.dtype == torch.bfloat16 and query.device.type == "cpu" and key.shape[2] <= _LONGEST
    if not products:
        from transformers import AttentionInterface

        known: Any = AttentionInterface
        fused = known()["sdpa"]
        return fused(module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **others)  # type: ignore[no-any-return]
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    return by_products(query, key, value, mask=attention_mask, dropout=dropout, scale=scale), None


def by_products(
    query: Tensor, key: Tensor, value: Tensor, *, mask: Tensor | None, dropout: float, scale: float
) -> Tensor:
    """The same by two batched products with a softmax between; shapes as for `attention`."""
    batch, heads, queries, width = query.shape
    tokens = key.shape[2]
    flat = batch * heads
    # baddbmm scales within the product; beta=0 ignores its first argument.
    weights = torch.baddbmm(
        query.new_zeros(1, 1, 1),
        query.reshape(flat, queries, width),
        key.reshape(flat, tokens, width).transpose(1, 2),
        beta=0,
        alpha=scale,
    )
    if mask is not None:
        hidden = torch.zeros_like(mask, dtype=query.dtype).masked_fill_(~mask, torch.finfo(query.dtype).min)
        weights.view(batch, heads, queries, tokens).add_(hidden)
    shares = fast_dropout(torch.softmax(weights, dim=-1), dropout)
    mixed = torch.bmm(shares, value.reshape(flat, tokens, value.shape[-1]))
    return mixed.view(batch, heads, queries, value.shape[-1]).transpose(1, 2)
