"""The last layer of BERT-like encoders, computed only at the tokens that the pooling reads.

Nothing after the last layer mixes tokens, so its queries, its output and its feed-forward part are wanted at few of
them: one with `cls` pooling, those of the completion with `completion_mean`. Keys and values are still made of all
tokens, so the result is the same. With one token read, a layer costs a sixth.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nines.models import attention
from nines.models.head import Pooling


def can_narrow(layer: nn.Module, pooling: Pooling) -> bool:
    """Whether `layer` is built like BERT's, and `pooling` reads only some tokens."""
    parts = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output")
    try:
        built_alike = all(layer.get_submodule(part) is not None for part in parts)
    except AttributeError:
        return False
    like_bert = built_alike and hasattr(layer, "feed_forward_chunk") and not getattr(layer, "is_decoder", True)
    # DeBERTa's self-attention has the same children and another formula.
    return (
        like_bert
        and not hasattr(layer.get_submodule("attention.self"), "pos_dropout")
        and pooling in {"cls", "completion_mean"}
    )


def tokens_read(pooling: Pooling, completion_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Which tokens the pooling reads.

    Returns:
        Their positions (batch, read) int64, and a mask (batch, read) bool that is False where a row reads fewer.
    """
    if pooling == "cls":
        first = torch.zeros(len(completion_mask), 1, dtype=torch.int64, device=completion_mask.device)
        return first, torch.ones_like(first, dtype=torch.bool)
    # A completion is one run of tokens: it starts at the first True.
    start = completion_mask.to(torch.int8).argmax(dim=1, keepdim=True)
    count = completion_mask.sum(dim=1, keepdim=True)
    step = torch.arange(max(1, int(count.max())), device=completion_mask.device)
    real = step < count
    return torch.where(real, start + step, 0), real


def last_layer_at(layer: Any, hidden: Tensor, positions: Tensor, *, attention_mask: Tensor | None) -> Tensor:
    """The outputs of `layer` at `positions` only.

    Args:
        layer: A layer for which `can_narrow` holds.
        hidden: (batch, tokens, hidden), what the layer below gave.
        positions: (batch, read) int64.
        attention_mask: (batch, tokens) bool, False on padding; None when there is none.

    Returns:
        (batch, read, hidden).
    """
    own = layer.attention.self
    if positions.shape[1] == 1 and not positions.any():
        read = hidden[:, :1]
    else:
        read = hidden.gather(1, positions.unsqueeze(-1).expand(-1, -1, hidden.shape[-1]))

    def by_head(projected: Tensor) -> Tensor:
        return projected.view(*projected.shape[:2], -1, own.attention_head_size).transpose(1, 2)

    mixed, _ = attention.attention(
        own,
        by_head(own.query(read)),
        by_head(own.key(hidden)),
        by_head(own.value(hidden)),
        None if attention_mask is None else attention_mask.bool()[:, None, None, :],
        dropout=own.dropout.p if own.training else 0.0,
        scaling=own.scaling,
    )
    attended = layer.attention.output(mixed.reshape(*read.shape[:2], -1), read)
    return layer.feed_forward_chunk(attended)  # type: ignore[no-any-return]
