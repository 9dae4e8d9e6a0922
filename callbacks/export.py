"""Writes the model of a finished run as a folder that other commands load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from nines.run_owner import ensure_owned


class Export(Callback):
    """After the test, which runs on the best weights, calls `export(<run folder>/<folder>)` of the module.

    Trials of a sweep are not tested, and leave no folder.

    Args:
        folder: Name of the folder within the run folder.
    """

    def __init__(self, *, folder: str = "model") -> None:
        self.folder = folder

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write, on the first rank."""
        if trainer.is_global_zero:
            root = Path(trainer.default_root_dir)
            ensure_owned(root)
            module: Any = pl_module
            module.export(root / self.folder)
