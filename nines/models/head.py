"""From hidden states of all tokens to one logit: pooling, then a small head, in float32."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from nines.errors import ConfigError, nearest

Pooling = Literal["cls", "mean", "max", "completion_mean", "completion_last"]


def pool(hidden: Tensor, pooling: Pooling, *, attention_mask: Tensor | None, completion_mask: Tensor) -> Tensor:
    """One vector for each row.

    Args:
        hidden: (batch, tokens, hidden).
        pooling: `cls`: the first token; `mean`, `max`: over all tokens but padding; `completion_mean`: over the
            completion's tokens, which have attended to the prompt already; `completion_last`: the completion's last
            token, which in a causal language model is the only one that has seen all of it.
        attention_mask: (batch, tokens) bool, False on padding; None when there is no padding.
        completion_mask: (batch, tokens) bool, True on the completion's tokens; a row without any gives zeros.

    Returns:
        (batch, hidden) in the dtype of `hidden`, summed in float32.
    """
    if pooling == "cls":
        return hidden[:, 0]
    if pooling == "completion_mean":
        return _masked_mean(hidden, completion_mask)
    if pooling == "completion_last":
        place = torch.arange(hidden.shape[1], device=hidden.device) * completion_mask
        last = hidden[torch.arange(len(hidden), device=hidden.device), place.amax(dim=1)]
        return last * completion_mask.any(dim=1, keepdim=True)
    if attention_mask is None:
        return hidden.amax(dim=1) if pooling == "max" else hidden.mean(dim=1, dtype=torch.float32).to(hidden.dtype)
    if pooling == "max":
        return hidden.masked_fill(~attention_mask.bool().unsqueeze(-1), -torch.inf).amax(dim=1)
    return _masked_mean(hidden, attention_mask)


def _masked_mean(hidden: Tensor, mask: Tensor) -> Tensor:
    share = mask.to(torch.float32)
    share = share / share.sum(dim=1, keepdim=True).clamp(min=1)
    return (hidden * share.unsqueeze(-1)).sum(dim=1).to(hidden.dtype)


class PreciseLinear(nn.Linear):
    """A linear map in float32 or wider, also where a strategy keeps its weights in bf16: scores near the threshold tie.

    A module's own forward, since that is where strategies that share out parameters make them whole.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  torch's name
        """(…, inputs) to (…, outputs)."""
        precision = torch.promote_types(self.weight.dtype, torch.float32)
        return nn.functional.linear(input.to(precision), self.weight.to(precision), self.bias.to(precision))


class ClassifierHead(nn.Module):
    """A linear map to one logit, or one hidden layer with tanh before it; several dropout masks on request.

    Args:
        width: Size of the pooled vector.
        hidden: Size of the hidden layer; None for a linear head.
        dropout: Probability on the input and on the hidden layer.
    """

    def __init__(self, width: int, *, hidden: int | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        if hidden is not None and hidden < 1:
            raise ConfigError(f"head_hidden={hidden} must be at least 1, or empty for a linear head")
        self.dropout = nn.Dropout(dropout)
        self.dense = PreciseLinear(width, hidden) if hidden is not None else None
        self.output = PreciseLinear(width if hidden is None else hidden, 1)
        for layer in (self.dense, self.output):
            if layer is not None:  # as transformers initialises heads: small, so that the first loss is near ln 2
                nn.init.normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)

    def forward(self, pooled: Tensor, samples: int = 1) -> Tensor:
        """Logits (samples, batch) from `pooled` (batch, width), one row of logits for each dropout mask."""
        with torch.autocast(pooled.device.type, enabled=False):  # one dot product decides near the threshold
            precise = pooled.to(torch.promote_types(self.output.weight.dtype, torch.float32))
            repeated = precise.expand(samples, *pooled.shape)
            activated = self.dropout(repeated)
            if self.dense is not None:
                activated = self.dropout(torch.tanh(self.dense(activated)))
            logits: Tensor = self.output(activated).squeeze(-1)
        return logits


def check_pooling(pooling: str) -> Pooling:
    """The name as a `Pooling`.

    Raises:
        ConfigError: There is no such pooling; names the nearest.
    """
    for name in get_args(Pooling):
        if name == pooling:
            return name  # type: ignore[no-any-return]
    raise ConfigError(f"there is no pooling {pooling!r}: {nearest(pooling, get_args(Pooling))}")
