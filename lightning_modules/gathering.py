"""Brings together what each rank collected during an evaluation."""

from __future__ import annotations

from typing import Any, TypeVar

import torch

Item = TypeVar("Item")


def gather_from_ranks(collected: list[Item], *, world_size: int) -> list[Item]:
    """The items of all ranks, rank 0's first, on every rank. Call it on every rank.

    Args:
        collected: What this rank has; tensors must lie on the CPU. Ranks may have different numbers of items.
        world_size: Number of ranks; with 1 nothing is sent.
    """
    if world_size == 1:
        return collected
    everyone: list[Any] = [None] * world_size
    torch.distributed.all_gather_object(everyone, collected)
    return [item for of_rank in everyone for item in of_rank]
