"""Log-probabilities of given tokens from hidden states, in float32, never with the logits of a whole batch at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from nines.errors import ConfigError

MOST_LOGITS = 1 << 24
"""Logits held at once, 64 MiB as float32: 341 tokens of a vocabulary of 49,152."""


def log_probs_of(
    hidden: Tensor,
    targets: Tensor,
    *,
    head: Callable[[Tensor], Tensor],
    vocabulary: int,
    temperature: float = 1.0,
    most_logits: int = MOST_LOGITS,
) -> Tensor:
    """Log softmax(head(hidden) / temperature) at `targets`, (tokens,), float32.

    The backward pass computes the logits of each chunk again instead of keeping them.

    Args:
        hidden: (tokens, hidden).
        targets: (tokens,), int64.
        head: Hidden states to logits.
        vocabulary: Logits of each token.
        temperature: Above 0.
        most_logits: Logits of one chunk.

    Raises:
        ConfigError: A temperature that is not above 0.
    """
    if not temperature > 0:
        raise ConfigError(f"a temperature must be above 0, got {temperature}")
    rows = max(1, most_logits // vocabulary)

    def of_chunk(states: Tensor, chosen: Tensor) -> Tensor:
        logits: Tensor = head(states).float() / temperature
        return logits.gather(1, chosen[:, None]).squeeze(1) - logits.logsumexp(dim=1)

    again = torch.is_grad_enabled()
    # An empty batch has one empty chunk, so that its result still hangs on the parameters.
    chunks = zip(torch.split(hidden, rows), torch.split(targets, rows), strict=True)
    return torch.cat(
        [
            checkpoint(
                of_chunk, states, chosen, use_reentrant=False, preserve_rng_state=False, determinism_check="none"
            )
            if again
            else of_chunk(states, chosen)
            for states, chosen in chunks
        ]
    )
