"""A language model cut below its lowest trained layer: what the frozen part says of a text is computed once.

The policy, its reference and every epoch of an update have the same frozen layers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nines.models.language_model import LanguageModel

_PARTS = {"embed_tokens", "layers", "norm", "rotary_emb"}
"""The children of decoders that can be cut: positions enter in the layers (Llama, Qwen, Mistral), not below them."""


class SplitTrunk:
    """The frozen layers and the trained layers of a language model, which share its modules.

    Not a module by intent: a module that holds it does not list the shared parameters again.

    Args:
        lower: Embeddings and frozen layers.
        upper: The layers above them and the final norm.
    """

    def __init__(self, lower: nn.Module, upper: nn.Module) -> None:
        self._lower, self._upper = lower, upper

    @classmethod
    def of(cls, model: LanguageModel) -> SplitTrunk | None:
        """The split below the layers that `train=upper` trains; None where nothing is frozen or it cannot be cut."""
        trunk = model.trunk
        frozen = model.layer_count - model.options.upper_layers
        if model.options.train != "upper" or frozen <= 0 or {name for name, _ in trunk.named_children()} != _PARTS:
            return None
        layers: Any = trunk.get_submodule("layers")
        lower = _with_layers(trunk, list(layers)[:frozen])
        lower.norm = nn.Identity()
        return cls(lower, _with_layers(trunk, list(layers)[frozen:]))

    @torch.no_grad()
    def frozen_states(self, tokens: Tensor, *, attention: Tensor, positions: Tensor) -> Tensor:
        """What the frozen layers make of tokens (rows, width), with an additive mask (rows, 1, width, width).

        Returns:
            (rows, width, hidden).
        """
        return _run(self._lower, attention, positions, input_ids=tokens)

    def hidden_states(self, frozen: Tensor, *, attention: Tensor, positions: Tensor) -> Tensor:
        """What the output head reads, (rows, width, hidden), from what the frozen layers gave."""
        return _run(self._upper, attention, positions, inputs_embeds=frozen)


def _run(trunk: nn.Module, attention: Tensor, positions: Tensor, **inputs: Tensor) -> Tensor:
    hidden: Tensor = trunk(
        **inputs, attention_mask=attention, position_ids=positions, use_cache=False
    ).last_hidden_state
    return hidden


def _with_layers(trunk: nn.Module, layers: list[nn.Module]) -> nn.Module:
    """A decoder of the same class whose children are those of `trunk`, with `layers` for its own."""
    with torch.device("meta"):  # no memory: every parameter is replaced by the shared one
        skeleton: nn.Module = type(trunk)(trunk.config)
    for name, child in trunk.named_children():
        setattr(skeleton, name, nn.ModuleList(layers) if name == "layers" else child)
    return skeleton.train(trunk.training)
