"""A tiny classifier, data for it, and trainers without files, for the tests of this folder."""

from pathlib import Path
from typing import Any

import lightning as L
import torch

from datamodules.completions import LabelledCompletions
from lightning_modules.checkpoint_io import AtomicCheckpointIO
from lightning_modules.classifier import CompletionClassifier

NO_DROPOUT = {"hidden": 0.0, "attention": 0.0, "head": 0.0, "embedding": 0.0}
TINY = {"source": "tiny:bert", "max_tokens": 128}


def tiny_classifier(*, seed: int = 0, model: dict[str, Any] | None = None, **arguments: Any) -> CompletionClassifier:
    torch.manual_seed(seed)
    return CompletionClassifier(model={**TINY, **(model or {})}, **{"dropout": NO_DROPOUT, **arguments})


def tiny_data(*, rows: int = 40, **arguments: Any) -> LabelledCompletions:
    options = {"tokenizer": "tiny:bert", "max_tokens": 128, "batch_size": 8, "evaluation_batch_size": 16}
    return LabelledCompletions(**{**options, "limit_rows": rows, **arguments})


def tiny_trainer(folder: Path, **options: Any) -> L.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return L.Trainer(
        default_root_dir=str(folder),
        accelerator="cpu",
        plugins=[AtomicCheckpointIO()],
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        **{**quiet, "enable_checkpointing": False, "max_epochs": 1, **options},
    )


def fitted_checkpoint(folder: Path, module: CompletionClassifier, **options: Any) -> Path:
    """Fit for a few steps, and the checkpoint written behind them."""
    trainer = tiny_trainer(folder, **{"max_steps": 2, "limit_val_batches": 0, **options})
    trainer.fit(module, datamodule=tiny_data())
    trainer.save_checkpoint(folder / "fitted.ckpt")
    return folder / "fitted.ckpt"
