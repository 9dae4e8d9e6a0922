"""How likely a causal language model finds a completion, beside its states of a middle layer: both for a head to read.

Of two completions readers tend to prefer the one that the model finds likelier for its length. Two or three weights say
so, which few comparisons suffice for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nines.errors import CapabilityError
from nines.models.encoders import find_layers
from nines.models.token_log_probs import log_probs_of

FEATURES = 3
"""Sum and mean of the log-probabilities of the completion's tokens, and their number."""


class Likelihood:
    """Log-probabilities of completions and the states after one layer, from one pass of the whole model.

    Not a module by intent: it shares the encoder's modules.

    Args:
        encoder: A decoder whose output head is its embeddings (`tie_word_embeddings`), as small ones have it.
        layer: After which layer the states are read, counted from 1.

    Raises:
        CapabilityError: The model is no decoder, or its output head is not among the encoder's weights.
    """

    def __init__(self, encoder: nn.Module, *, layer: int) -> None:
        config: Any = encoder.config
        if not hasattr(encoder, "embed_tokens") or not config.tie_word_embeddings:
            raise CapabilityError(
                f"module.model.likelihood=true needs a causal language model with tied embeddings, and "
                f"{config.model_type} is none; use model=smollm2"
            )
        self._encoder = encoder
        self._layer = find_layers(encoder)[1][layer - 1]
        self.width = int(config.hidden_size) + 1

    def states(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The states after the layer, and behind them log P(token | what is before it), 0 outside of the completion.

        Args:
            batch: `input_ids`, `completion_mask` and perhaps `attention_mask`, as for the classifier.

        Returns:
            (batch, tokens, hidden + 1).
        """
        seen: list[Tensor] = []

        def keep(_layer: nn.Module, _inputs: object, output: Any) -> None:
            seen.append(output if isinstance(output, Tensor) else output[0])

        handle = self._layer.register_forward_hook(keep)
        try:
            mask = batch.get("attention_mask")
            last = self._encoder(input_ids=batch["input_ids"], attention_mask=None if mask is None else mask.long())
        finally:
            handle.remove()
        log_probs = self._log_probs(last.last_hidden_state, batch["input_ids"], batch["completion_mask"])
        return torch.cat([seen[0], log_probs.to(seen[0].dtype)], dim=-1)

    def _log_probs(self, last: Tensor, ids: Tensor, completion_mask: Tensor) -> Tensor:
        asked = completion_mask[:, 1:]  # nothing is before a row's first token
        weight: Any = self._encoder.get_submodule("embed_tokens").weight
        found = log_probs_of(
            last[:, :-1][asked],
            ids[:, 1:][asked],
            head=lambda states: nn.functional.linear(states, weight),
            vocabulary=len(weight),
        )
        values = torch.zeros(asked.shape, dtype=torch.float32, device=ids.device).masked_scatter(asked, found)
        return nn.functional.pad(values, (1, 0)).unsqueeze(-1)


def likelihood_features(log_probs: Tensor, completion_mask: Tensor) -> Tensor:
    """What the head reads of token log-probabilities (batch, tokens): (batch, 3), see `FEATURES`."""
    count = completion_mask.sum(dim=1).to(torch.float32)
    total = (log_probs.to(torch.float32) * completion_mask).sum(dim=1)
    return torch.stack([total, total / count.clamp(min=1), count], dim=1)


class StandardisedFeatures(nn.Module):
    """States and likelihood, each column with mean 0 and deviation 1 over the training rows seen so far.

    Middle layers of language models have columns that are a hundred times as wide as others; a head that starts at
    small weights would learn from those alone. What is read is frozen, so the averages converge. States are divided by
    the root of their number besides, so that all together weigh as much as one figure of the likelihood.

    Args:
        hidden: Width of the states.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.width = hidden + FEATURES
        self._columns = nn.BatchNorm1d(self.width, affine=False, momentum=None)
        self._root = hidden**0.5

    def forward(self, pooled: Tensor, log_probs: Tensor, completion_mask: Tensor) -> Tensor:
        """From pooled states (batch, hidden) and token log-probabilities (batch, tokens): (batch, hidden + 3)."""
        columns = torch.cat([pooled.to(torch.float32), likelihood_features(log_probs, completion_mask)], dim=1)
        # One row has no deviation to learn from.
        learns = self.training and len(columns) > 1
        norm = self._columns
        mean, variance = norm.running_mean, norm.running_var
        found = norm(columns) if learns else nn.functional.batch_norm(columns, mean, variance, eps=norm.eps)
        return torch.cat([found[:, :-FEATURES] / self._root, found[:, -FEATURES:]], dim=1)
