"""Small modules and trainers that several tests share."""

from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.demos.boring_classes import RandomDataset
from torch.utils.data import DataLoader

from lightning_modules.checkpoint_io import AtomicCheckpointIO


class ScriptedObjective(L.LightningModule):
    """Two weights; its objective after each validation is the next of a given list."""

    def __init__(self, objectives: list[float]) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(32, 1)
        self.objectives = objectives
        self.validations = 0

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return self.layer(batch).square().mean()

    def validation_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        return None

    def on_validation_epoch_end(self) -> None:
        self.log("valid/objective", self.objectives[self.validations])
        self.validations += 1

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["validations"] = self.validations

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.validations = checkpoint["validations"]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.layer.parameters(), lr=0.1)


def fit_scripted(
    folder: Path, callbacks: list[L.Callback], module: ScriptedObjective | None = None, **options: Any
) -> L.Trainer:
    trainer = L.Trainer(
        default_root_dir=str(folder),
        accelerator="cpu",
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **{"max_epochs": 3, **options},
    )
    loader = DataLoader(RandomDataset(32, 8), batch_size=1)
    trainer.fit(module or ScriptedObjective([0.5, 0.9, 0.7, 0.8]), loader, DataLoader(RandomDataset(32, 2)))
    return trainer
