"""Tells whether a rank holds the parameters of a module, or only its share of them."""

from __future__ import annotations

from torch import nn
from torch.distributed.tensor import DTensor


def is_shared_out(module: nn.Module) -> bool:
    """Whether ZeRO-3 or FSDP2 left this rank only a share of any parameter of `module`."""
    return any(isinstance(value, DTensor) or hasattr(value, "ds_id") for value in module.parameters())
