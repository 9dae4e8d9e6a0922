"""Small modules and trainers that several tests share."""

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.demos.boring_classes import RandomDataset
from lightning.pytorch.loggers import TensorBoardLogger
from numpy.typing import NDArray
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import DataLoader, TensorDataset

from lightning_modules.checkpoint_io import AtomicCheckpointIO
from nines.statistics.labelled import LabelledRows


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
    folder: Path,
    callbacks: list[L.Callback],
    module: ScriptedObjective | None = None,
    *,
    ckpt_path: str | None = None,
    **options: Any,
) -> L.Trainer:
    trainer = L.Trainer(
        default_root_dir=str(folder),
        accelerator="cpu",
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **{"max_epochs": 3, "logger": False, "enable_progress_bar": False, **options},
    )
    loader = DataLoader(RandomDataset(32, 8), batch_size=1)
    module = module or ScriptedObjective([0.5, 0.9, 0.7, 0.8])
    trainer.fit(module, loader, DataLoader(RandomDataset(32, 2)), ckpt_path=ckpt_path)
    return trainer


class TinyLabelledData(L.LightningDataModule):
    """Labelled rows of two sources around one feature that tells injurious from safe, with three evaluation splits."""

    def __init__(self, *, natural: bool = True, unsure: int = 4) -> None:
        super().__init__()
        self.features: dict[str, torch.Tensor] = {}
        self._rows: dict[str, LabelledRows] = {}
        for seed, split in enumerate(("train", "valid", "test", "adversarial")):
            random = np.random.default_rng(seed)
            labels = np.array([1, 0, 0, 0] * 15 + [-1] * unsure, dtype=np.int8)
            generated = np.arange(len(labels)) % 5 > 0
            if split == "adversarial":
                generated[:] = False
            self._rows[split] = LabelledRows(
                labels=labels,
                prompts=np.arange(len(labels)) // 3,
                sources=np.where(generated, "generated", "adversarial" if split == "adversarial" else "written"),
                natural_weights=np.where(generated & natural, random.choice([0.1, 1.0], len(labels)), 0.0),
            )
            self.features[split] = torch.from_numpy(random.normal(labels * 1.5, 1.0)).float()

    def splits(self, stage: str) -> tuple[str, ...]:
        by_stage = {"fit": ("train", "valid"), "validate": ("valid",), "test": ("test", "adversarial")}
        return by_stage[stage]

    def rows(self, split: str) -> LabelledRows:
        return self._rows[split]

    def texts(self, split: str) -> list[tuple[str, str]]:
        return [
            (f"{split} prompt {row} | " + "long " * 60, f"completion {row}") for row in range(len(self.rows(split)))
        ]

    def loader(self, split: str) -> DataLoader[Any]:
        features = self.features[split]
        target = torch.from_numpy(self.rows(split).labels == 1).float()
        return DataLoader(TensorDataset(features, target, torch.arange(len(features))), batch_size=16)

    def train_dataloader(self) -> DataLoader[Any]:
        return self.loader("train")

    def val_dataloader(self) -> DataLoader[Any]:
        return self.loader("valid")

    def test_dataloader(self) -> list[DataLoader[Any]]:
        return [self.loader(split) for split in self.splits("test")]


class TinyScorer(L.LightningModule):
    """Logistic regression on one feature, which keeps its scores as the classifier does."""

    def __init__(self, *, slope: float = 1.0) -> None:
        super().__init__()
        self.slope = torch.nn.Parameter(torch.tensor(slope))
        self.scores: dict[str, NDArray[np.float64]] = {}

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.slope * features - 1.0)

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        return torch.nn.functional.binary_cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: list[torch.Tensor], batch_idx: int) -> None:
        self.keep("valid", batch)

    def test_step(self, batch: list[torch.Tensor], batch_idx: int, dataloader_idx: int = 0) -> None:
        self.keep(self.trainer.datamodule.splits("test")[dataloader_idx], batch)

    def keep(self, split: str, batch: list[torch.Tensor]) -> None:
        size = len(self.trainer.datamodule.rows(split))
        self.scores.setdefault(split, np.full(size, np.nan))[batch[2].numpy()] = (
            self(batch[0]).detach().double().numpy()
        )

    def on_validation_epoch_end(self) -> None:
        self.log("valid/partial_auc", 0.75)

    def gathered_scores(self, split: str) -> NDArray[np.float64]:
        return self.scores[split]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.5)


def tiny_trainer(folder: Path, callbacks: list[L.Callback], **options: Any) -> L.Trainer:
    return L.Trainer(
        **{
            "default_root_dir": str(folder),
            "accelerator": "cpu",
            "callbacks": callbacks,
            "logger": TensorBoardLogger(str(folder), name="tensorboard", version="", default_hp_metric=False),
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "enable_checkpointing": False,
            "log_every_n_steps": 1,
            "max_epochs": 2,
            **options,
        }
    )


def logged_tags(folder: Path) -> dict[str, list[str]]:
    """Tags in the TensorBoard event files under `folder` by kind: scalars, images, tensors (texts)."""
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    tags = events.Tags()
    return {kind: list(tags[kind]) for kind in ("scalars", "images", "tensors")}
