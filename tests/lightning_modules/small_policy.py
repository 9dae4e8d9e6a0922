"""A tiny policy with prompts and a reward that needs no model, and trainers without files, for the tests of PPO."""

import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch

from datamodules.prompts import Prompts
from lightning_modules.checkpoint_io import AtomicCheckpointIO
from lightning_modules.ppo_generator import PPOGenerator

LETTERS = "tests.lightning_modules.small_policy.letters"
NO_STOP = {"max_new_tokens": 8, "stop_at_sentence_end": False, "temperature": 1.0, "top_p": 1.0}


def letters(prompts: Sequence[str], completions: Sequence[str], *, wanted: str = string.ascii_lowercase) -> Any:
    """Share of a completion's characters that are among the wanted ones."""
    return np.array([sum(character in wanted for character in text) / max(1, len(text)) for text in completions])


def tiny_policy(*, seed: int = 0, **arguments: Any) -> PPOGenerator:
    torch.manual_seed(seed)
    ppo = {"completions_per_prompt": 2, "minibatch_size": 8, "forward_size": 4, **arguments.pop("ppo", {})}
    options: dict[str, Any] = {
        "model": {"source": "tiny:llama", **arguments.pop("model", {})},
        "reward": {"_target_": LETTERS},
        "sampling": NO_STOP,
        "optimizer": {"lr": 1e-3, "warmup": 0.0, "schedule": "constant", "weight_decay": 0.0},
        "clipping": {"_target_": "nines.clipping.norm.NormClipping", "max_norm": 1.0},
        "max_prompt_tokens": 24,
    }
    return PPOGenerator(**{**options, "ppo": ppo, **arguments})


def tiny_prompts(**arguments: Any) -> Prompts:
    return Prompts(**{"batch_size": 8, "limit_prompts": 32, "evaluation_prompts": 6, **arguments})


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


class Watch(L.Callback):
    """Keeps what each iteration logged."""

    def __init__(self) -> None:
        self.iterations: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer: L.Trainer, *arguments: Any) -> None:
        self.iterations.append(
            {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("train/")}
        )
