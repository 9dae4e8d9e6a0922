"""Ranks agree on a stop: one small all-reduce, at points that all of them reach in the same step."""

from __future__ import annotations

import torch
from lightning.pytorch import Trainer

from nines.stop_requests import Stop


def strongest(trainer: Trainer, request: Stop | None) -> Stop | None:
    """The strongest request of any rank, the same on all of them. Call it on every rank.

    Args:
        trainer: Its ranks.
        request: That of this rank.
    """
    level = _largest(trainer, [request or 0])[0]
    return Stop(level) if level else None


def common_batches(trainer: Trainer, own: list[int | float]) -> list[int]:
    """How many batches each rank has at least, by loader: a rank may have one fewer. Call it on every rank.

    Args:
        trainer: Its ranks.
        own: Batches of this rank by loader; infinite where unknown, which counts as none.
    """
    return [-count for count in _largest(trainer, [0 if count == float("inf") else -int(count) for count in own])]


def alike(trainer: Trainer, value: int) -> bool:
    """Whether `value` is the same on all ranks. Call it on every rank."""
    largest, negated_smallest = _largest(trainer, [value, -value])
    return largest == -negated_smallest


def _largest(trainer: Trainer, values: list[int]) -> list[int]:
    """The largest of each value over all ranks.

    `Strategy.reduce` would put a barrier before, which doubles the cost.
    """
    if trainer.world_size == 1:
        return values
    tensor = torch.tensor(values, dtype=torch.int64, device=trainer.strategy.root_device)
    torch.distributed.all_reduce(tensor, op=torch.distributed.ReduceOp.MAX)
    return [int(value) for value in tensor.tolist()]
