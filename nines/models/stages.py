"""Splits an encoder at a layer: the stage below computes hidden states, the stage above goes on from them.

Both stages are ordinary encoders of the same class that share the modules of the whole one: no parameter exists twice.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nines.models.encoders import find_layers


class PassThrough(nn.Module):
    """Stands where embeddings were: returns the hidden states that come in as `inputs_embeds`."""

    def forward(self, *_: Any, inputs_embeds: Tensor, **__: Any) -> Tensor:
        """`inputs_embeds` (batch, tokens, hidden), as it is."""
        return inputs_embeds


class EncoderStages:
    """An encoder cut above layer `cut`: `lower` is the embeddings and `cut` layers, `upper` the layers up to `end`.

    Not a module by intent: a module that holds it does not list the shared parameters again.

    Args:
        encoder: The whole one.
        cut: 0 (`lower` is None, `upper` has the embeddings) up to the number of layers (`upper` is None, the hidden
            states are the encoder's final output).
        end: Where `upper` ends; less than the number of layers if the caller computes the last layer by itself.
    """

    def __init__(self, encoder: nn.Module, cut: int, *, end: int) -> None:
        layers = list(find_layers(encoder)[1])
        self.lower: nn.Module | None = None
        self.upper: nn.Module | None = None
        if cut == len(layers):
            self.lower = encoder
            return
        if cut == 0:
            self.upper = encoder if end == len(layers) else share_layers(encoder, layers[:end])
            return
        self.lower = share_layers(encoder, layers[:cut])
        for norm in ("final_norm", "norm"):
            if hasattr(self.lower, norm):
                setattr(self.lower, norm, nn.Identity())  # ModernBERT's and Llama's belongs above the last layer
        self.upper = share_layers(encoder, layers[cut:end])
        if hasattr(self.upper, "embeddings"):  # decoders pass `inputs_embeds` by themselves
            self.upper.embeddings = PassThrough()
        inner = getattr(self.upper, "encoder", None)
        if inner is not None and getattr(inner, "conv", None) is not None:
            inner.conv = None  # DeBERTa-v2's convolution acts after the first layer only


def share_layers(encoder: nn.Module, layers: list[nn.Module]) -> nn.Module:
    """A new encoder of the same class whose children are those of `encoder`, with `layers` for its own layers."""
    path, _ = find_layers(encoder)
    with torch.device("meta"):  # no memory: every parameter is replaced by the shared one
        skeleton: nn.Module = type(encoder)(encoder.config)
    holder, original = skeleton, encoder
    *parents, name = path.split(".")
    for parent in [*parents, None]:
        kept = parent if parent is not None else name
        for child_name, _ in list(holder.named_children()):
            if child_name != kept:
                setattr(holder, child_name, getattr(original, child_name, None))
        if parent is not None:
            holder, original = holder.get_submodule(parent), original.get_submodule(parent)
    setattr(holder, name, nn.ModuleList(layers))
    left = [parameter for parameter, value in skeleton.named_parameters() if value.is_meta]
    if left:
        raise RuntimeError(f"{type(encoder).__name__} holds parameters outside its children: {left[:3]}")
    return skeleton
