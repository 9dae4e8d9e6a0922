"""What all trials of a sweep share, made once before the first one, with all cores: weights, tokens, frozen layers.

Without it, the first trial would make them with its share of the cores while the others wait for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from apps.config import compose

if TYPE_CHECKING:
    from omegaconf import DictConfig

SPLITS = ("train", "valid")


def prepare(overrides: Sequence[str], *, trunk: bool = True) -> None:
    """Fetch the weights, tokenise, and compute the outputs of the frozen layers for trials with these overrides.

    What lies in the cache already costs a second. Where training runs on a GPU the frozen layers are left to the
    first trial, which computes them there (under ZeRO-3 and FSDP2, whose model may not fit on one, on its CPUs).

    Args:
        overrides: Of `train`, those that hold in every trial.
        trunk: Compute the outputs of the frozen layers; False leaves them to the first trial.

    Raises:
        WeightsError, DataError, StorageError: As the first trial would raise them.
    """
    prepare_run(compose("train", overrides), trunk=trunk)


def prepare_run(config: DictConfig, *, trunk: bool = True) -> None:
    """Like `prepare`, for one composed configuration, whose precision it settles.

    Raises:
        WeightsError, DataError, StorageError: As the run would raise them.
    """
    import torch
    from hydra.utils import instantiate
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    from apps.training import resolve_precision
    from lightning_modules.trunk import use_trunk_cache

    resolve_precision(config)
    data = instantiate(config.datamodule, _convert_="all")
    data.setup("fit")
    if hasattr(data, "pairs"):  # of what a pair encoder reads; other data are tokenised in memory
        for split in SPLITS:
            data.pairs(split)
    module = instantiate(config.module, _recursive_=False, _convert_="all")
    on_gpu = torch.cuda.is_available() and config.trainer.get("accelerator") != "cpu"
    if on_gpu or not trunk or not (getattr(module, "trunk_cache", False) and module.model.freeze_layers):
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def show(split: str, done: int, total: int) -> None:
            if split not in tasks:
                tasks[split] = bars.add_task(f"outputs of the frozen layers, {split} rows", total=total)
            bars.update(tasks[split], completed=done)

        use_trunk_cache(module.model, data, SPLITS, precision=str(config.trainer.precision), progress=show)
