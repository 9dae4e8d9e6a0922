"""FSDP2 for Lightning: every rank keeps a share of each parameter, its gradient and its state (Zhao et al. 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Protocol

from lightning.pytorch.strategies import ModelParallelStrategy
from torch import nn
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method

from lightning_modules.fsdp2_checkpoints import FSDP2Checkpoints


class FullySharded(FSDP2Checkpoints):
    """torch's `fully_shard` over all ranks of all nodes, on GPUs by nccl and on CPUs by gloo.

    The module shares out its own parameters in `configure_model`, by `shard`.

    Args:
        timeout_minutes: How long a rank waits for the others before it fails, above 0.
    """

    def __init__(self, *, timeout_minutes: float = 30.0) -> None:
        super().__init__(tensor_parallel_size=1, timeout=timedelta(minutes=timeout_minutes))

    def setup_environment(self) -> None:
        """Join the other ranks, in one mesh without tensor parallelism."""
        # Lightning's "auto" means one share a node, and the number of ranks is not known before.
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()


class Wrapped(Protocol):
    """What a module says of itself to be shared out piece by piece."""

    def whole_parts(self) -> Sequence[nn.Module]:
        """Parts that are called as such, in the order of the forward pass: each is whole only while it computes.

        Whatever lies in none of them is whole from the first call of the module to its last.
        """

    def entry_points(self) -> Sequence[str]:
        """Names of the methods, besides `forward`, by which a computation begins."""


def shard(model: nn.Module, strategy: ModelParallelStrategy) -> None:
    """Share out `model`, which is `Wrapped`, over the ranks, so that one of its parts at a time is whole; once only."""
    if isinstance(model, FSDPModule):
        return
    wrapped: Any = model  # torch's class is given at run time, so no type says both
    mesh: Any = strategy.device_mesh["data_parallel"]
    for part in wrapped.whole_parts():
        fully_shard(part, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for method in wrapped.entry_points():
        register_fsdp_forward_method(model, method)
