"""FSDP2 for Lightning: every rank keeps a share of each parameter, its gradient and its state (Zhao et al. 2023)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from lightning.pytorch.strategies import ModelParallelStrategy
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method

from lightning_modules.fsdp2_checkpoints import FSDP2Checkpoints
from nines.models.classifier import PairClassifier


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


def shard(model: PairClassifier, strategy: ModelParallelStrategy) -> None:
    """Share out `model` over the ranks, layer by layer, so that one layer at a time is whole; once only.

    The last layer belongs to the outermost group, with the head: `PairClassifier` computes it piece by piece, past the
    call by which `fully_shard` would gather it.
    """
    if isinstance(model, FSDPModule):
        return
    mesh: Any = strategy.device_mesh["data_parallel"]
    encoder: Any = model.encoder
    for part in (encoder.embeddings, *model.layers[:-1]):
        fully_shard(part, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for method in ("sample_logits", "trunk"):
        register_fsdp_forward_method(model, method)
