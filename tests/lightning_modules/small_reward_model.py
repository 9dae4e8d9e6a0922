"""A tiny reward model and comparisons for it, for the tests of this folder."""

from pathlib import Path
from typing import Any

import torch

from datamodules.comparisons import Comparisons
from lightning_modules.reward_model import RewardModel
from tests.lightning_modules.small_classifier import NO_DROPOUT, TINY, tiny_trainer


def tiny_reward_model(*, seed: int = 0, model: dict[str, Any] | None = None, **arguments: Any) -> RewardModel:
    torch.manual_seed(seed)
    return RewardModel(model={**TINY, **(model or {})}, **{"dropout": NO_DROPOUT, **arguments})


def tiny_comparisons(*, rows: int = 24, **arguments: Any) -> Comparisons:
    options = {"tokenizer": "tiny:bert", "max_tokens": 128, "batch_size": 4, "evaluation_batch_size": 8}
    return Comparisons(**{**options, "limit_rows": rows, **arguments})


def fitted_reward_model(folder: Path, module: RewardModel, **options: Any) -> Path:
    """Fit for an epoch of six steps and validate, and the checkpoint written behind that."""
    trainer = tiny_trainer(folder, **options)
    trainer.fit(module, datamodule=tiny_comparisons())
    trainer.save_checkpoint(folder / "fitted.ckpt")
    return folder / "fitted.ckpt"
