"""Random numbers of a training step as a function of the seed and the step alone.

A resumed run then draws what the uninterrupted one drew, without any generator's state in the checkpoint, and whatever
validation, logging or a callback drew in between changes nothing.
"""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from nines.errors import ConfigError


class StepSeeding(Callback):
    """Seeds torch before each training batch from (seed, rank, epoch, batch index).

    Args:
        seed: The seed of the run, not negative.
    """

    def __init__(self, *, seed: int) -> None:
        if seed < 0:
            raise ConfigError(f"seed must not be negative, got {seed}")
        self.seed = seed

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Seed torch's default generators on every device."""
        torch.manual_seed(
            step_seed(self.seed, rank=trainer.global_rank, epoch=trainer.current_epoch, batch_index=batch_idx)
        )


def step_seed(seed: int, *, rank: int, epoch: int, batch_index: int) -> int:
    """A 63-bit seed that differs between any two of its arguments' combinations with overwhelming probability."""
    digest = hashlib.blake2b(f"{seed}/{rank}/{epoch}/{batch_index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
