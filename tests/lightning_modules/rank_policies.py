"""One short PPO under any strategy, on one or two ranks, and what each iteration showed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_only

from tests.distributed import run_ranks
from tests.lightning_modules.rank_trainings import strategy_of, whole_weights
from tests.lightning_modules.small_policy import Watch, tiny_policy, tiny_prompts, tiny_trainer


def train_and_keep(
    folder: Path, name: str, rank: int, *, arguments: Mapping[str, Any], trainer: Mapping[str, Any] = {}
) -> None:
    """Fit on this rank; rank 0 keeps what was seen in `<folder>/<name>.pt`."""
    rank_zero_only.rank = rank  # type: ignore[attr-defined]
    torch.set_num_threads(1)
    watch = Watch()
    module = tiny_policy(deferred=name.startswith("zero3"), **arguments)
    ranks = 1 if name == "one" else 2
    data = tiny_prompts(batch_size=8 // ranks, limit_prompts=16, evaluation_prompts=4)
    runs = tiny_trainer(folder, devices=ranks, strategy=strategy_of(name), callbacks=[watch], **trainer)
    runs.fit(module, datamodule=data)
    weights = whole_weights(module.model)
    held_out = {key: float(value) for key, value in runs.callback_metrics.items() if key.startswith("valid")}
    if rank == 0:
        seen = {"iterations": watch.iterations, "weights": weights, "valid": held_out, "steps": runs.global_step}
        torch.save(seen, folder / f"{name}.pt")


def seen_under(folder: Path, name: str, **arguments: Any) -> dict[str, Any]:
    """What the training under strategy `name` showed."""
    ranks = 1 if name == "one" else 2
    assert run_ranks(lambda rank: train_and_keep(folder, name, rank, arguments=arguments), ranks=ranks) == [0] * ranks
    found: dict[str, Any] = torch.load(folder / f"{name}.pt", weights_only=False)
    return found
