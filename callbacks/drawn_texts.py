"""Writes what training has drawn of each source into the run folder: tokens and documents, epoch by epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from nines.files import write_json

FILE = "drawn.json"


class DrawnTexts(Callback):
    """Asks the data module, which knows it from its order and place, so that resumed runs report everything.

    `drawn.json` holds `whole` and `epochs`; each maps a source to `documents`, `distinct` ones among them, `tokens`,
    `loss_tokens`, and its `share` of all tokens. The shares of the whole are logged as `drawn/<source>`.
    """

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write and log."""
        found = self._write(trainer)
        for logger in trainer.loggers:
            shares = {f"drawn/{source}": figures["share"] for source, figures in found.get("whole", {}).items()}
            logger.log_metrics(shares, step=trainer.global_step)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write, since training may end within an epoch."""
        self._write(trainer)

    def _write(self, trainer: Trainer) -> dict[str, Any]:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it, but does not declare it
        if not trainer.is_global_zero or not hasattr(data, "drawn"):
            return {}
        found: dict[str, Any] = data.drawn()
        write_json(Path(trainer.default_root_dir) / FILE, found)
        return found
