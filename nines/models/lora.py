"""Low-rank adapters (LoRA, Hu et al. 2021) within a language model, by peft: put in, switched off, merged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from nines.errors import CapabilityError

_ADAPTER = "default"


def add_lora(network: nn.Module, layers: str, *, rank: int, alpha: int, dropout: float) -> None:
    """Freeze `network` and put trainable adapters beside every linear map of its layers; at first they add nothing.

    Args:
        network: A causal language model of transformers; its linear maps are replaced in place.
        layers: Dotted path of the list of layers.
        rank: Rank of the adapters.
        alpha: The adapters' output is scaled by `alpha / rank`.
        dropout: On what the adapters read.

    Raises:
        CapabilityError: The layers hold no linear map that peft can adapt.
    """
    from peft import LoraConfig, inject_adapter_in_model
    from transformers.pytorch_utils import Conv1D

    linear = [
        (name, module)
        for name, module in network.named_modules()
        if name.startswith(f"{layers}.") and isinstance(module, nn.Linear | Conv1D)
    ]
    if not linear:
        raise CapabilityError(f"{type(network).__name__} has no linear map that LoRA could adapt; use train=upper")
    # The initial values are those of one process, whatever trains later: A is random, B is 0.
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=[name for name, _ in linear],
        fan_in_fan_out=isinstance(linear[0][1], Conv1D),
    )
    inject_adapter_in_model(config, network, adapter_name=_ADAPTER)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(is_lora(name))


def is_lora(name: str) -> bool:
    """Whether a parameter of this name belongs to an adapter."""
    return ".lora_" in name


@contextmanager
def without_lora(network: nn.Module) -> Iterator[None]:
    """Switch the adapters off: what is left is the model that they were added to."""
    adapted = [module for _, module in _adapted(network)]
    for module in adapted:
        module.enable_adapters(False)
    try:
        yield
    finally:
        for module in adapted:
            module.enable_adapters(True)


def merged_state(network: nn.Module) -> dict[str, Tensor]:
    """The parameters and buffers of `network` as if it had never had adapters, what they learned added to the weights.

    The network itself stays as it is. Names are those of the plain architecture.
    """
    adapted = dict(_adapted(network))
    state: dict[str, Tensor] = {}
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if is_lora(name):
                continue
            owner, base, leaf = name.rpartition(".base_layer.")
            if base and leaf == "weight":
                delta = adapted[owner].get_delta_weight(_ADAPTER)
                state[f"{owner}.weight"] = value + delta.to(value.dtype)
            else:
                state[f"{owner}.{leaf}" if base else name] = value
    return state


def _adapted(network: nn.Module) -> Iterator[tuple[str, Any]]:
    """Names and modules of the linear maps that carry adapters."""
    from peft.tuners.lora import LoraLayer

    return ((name, module) for name, module in network.named_modules() if isinstance(module, LoraLayer))
