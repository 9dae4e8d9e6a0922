"""Checkpoints that are whole or absent, in Lightning's own format."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor

from nines.checkpoint_folder import is_sharded, read_manifest
from nines.errors import CheckpointError, StorageError
from nines.files import replacing
from nines.run_owner import ensure_owned


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target and renames, so that a full disk or a kill leaves the previous checkpoint whole.

    Lightning's own writer stages in the system's temporary folder: across file systems its move is a plain copy.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write `checkpoint` to `path` as a whole.

        Raises:
            StorageError: The disk refused the write; what lay at `path` before is untouched.
            Superseded: Other processes took the run folder over while this one was writing; theirs is untouched.
        """
        target = Path(path)
        try:
            with replacing(target) as temporary:
                torch.save(checkpoint, temporary)
                ensure_owned(target.parent.parent)  # a large checkpoint takes minutes, enough for a new owner
        except RuntimeError as error:
            # torch's zip writer reports a failed write as RuntimeError, with the cause lost in C++.
            raise StorageError(
                f"cannot write the checkpoint {target}: the disk refused it (full?); the previous one is untouched, "
                "free some space and run the same command again"
            ) from error

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        """Read a checkpoint; tensors land on the CPU unless `map_location` says otherwise.

        Raises:
            CheckpointError: The file is missing or damaged.
        """
        del weights_only  # Ours hold tensors and plain values alone, so nothing else is ever unpickled.
        return read_checkpoint(Path(path), map_location=map_location)


def read_checkpoint(path: Path, *, map_location: Any = None) -> dict[str, Any]:
    """The content of a checkpoint file, without running any code that it may hold.

    Raises:
        CheckpointError: The file is missing, damaged, or holds more than tensors and plain values.
    """
    if is_sharded(path):
        manifest = read_manifest(path)
        raise CheckpointError(
            f"{path} was written by {manifest.ranks} ranks under {manifest.trainer}; resume it with "
            f"trainer={manifest.trainer}, or make one file of it: nines checkpoint consolidate {path}"
        )
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}; give the path of a .ckpt file or of a run folder")
    try:
        content: dict[str, Any] = torch.load(path, map_location=map_location or "cpu", weights_only=True)
    except (RuntimeError, EOFError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"{path} cannot be read as a checkpoint: {first_line}") from error
    return content


def describe_mismatch(saved: Mapping[str, Tensor], own: Mapping[str, Tensor], *, shown: int = 3) -> str:
    """One line that names tensors which only one side has, or whose shapes differ; empty when all fit."""
    shapes = [
        f"{name} is {tuple(saved[name].shape)} in the checkpoint and {tuple(own[name].shape)} here"
        for name in own
        if name in saved and saved[name].shape != own[name].shape
    ]
    missing = [f"{name} is only here" for name in own if name not in saved]
    extra = [f"{name} is only in the checkpoint" for name in saved if name not in own]
    found = shapes + missing + extra
    more = f"; and {len(found) - shown} more" if len(found) > shown else ""
    return "; ".join(found[:shown]) + more
