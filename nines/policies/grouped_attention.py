"""Attention for one new token a row that reads keys and values once, for models with grouped or plain query heads.

The default of transformers repeats the keys and values of grouped heads (Ainslie et al. 2023) in memory at each step,
and torch's fused kernel is slow for one query on CPU: with 64 rows of SmolLM2 they take two thirds of a step.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "nines_grouped"

# Their attention is a softmax of scaled products and a mask, nothing else.
SUITED = frozenset({"llama", "mistral", "qwen2", "qwen3", "smollm3"})


def use_grouped_attention(model: Any) -> bool:
    """Let `model` attend by this module's function from now on, if it is of a suited kind and on a CPU.

    Passes of several tokens, with or without gradients, go where they went before, to torch's fused kernel.

    Returns:
        Whether the model does.
    """
    if model.config.model_type not in SUITED or model.device.type != "cpu":
        return False
    AttentionInterface.register(NAME, _forward)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)
    return True


def _forward(  # noqa: PLR0917  the signature is that of transformers
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    if query.shape[2] != 1 or dropout:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    return grouped_attention(query, key, value, attention_mask, scaling=scaling), None


def grouped_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *, scaling: float | None = None
) -> Tensor:
    """Attention of one query a row and head; query heads that share keys are treated as so many queries.

    Args:
        query: Shape (rows, query heads, 1, width).
        key: Shape (rows, key heads, tokens, width); the query heads are a multiple of the key heads.
        value: As `key`.
        mask: What may be seen, True or False, shape (rows, 1, 1, tokens); None for everything.
        scaling: Of the products; 1 / sqrt(width) by default.

    Returns:
        Shape (rows, 1, query heads, width).
    """
    rows, heads, _, width = query.shape
    groups = key.shape[1]
    grouped = query.reshape(rows, groups, heads // groups, width) * (width**-0.5 if scaling is None else scaling)
    products = torch.matmul(grouped, key.transpose(-1, -2))
    if mask is not None:
        products = products.masked_fill(~mask, -torch.inf)
    shares = torch.softmax(products, dim=-1, dtype=torch.float32).to(value.dtype)
    return torch.matmul(shares, value).reshape(rows, 1, heads, width)
