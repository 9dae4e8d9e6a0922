"""Checkpoints under FSDP2: written by all ranks or by none, resumed exactly, put together to one file.

Frozen parameters are left out, as they are without FSDP2: their source gives them back.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.strategies import ModelParallelStrategy
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata

from lightning_modules.sharded_checkpoints import (
    OpenCheckpoint,
    check_resumable,
    check_shapes,
    folder_of_all_ranks,
    one_line,
    open_sharded,
    save_sharded,
)
from nines.checkpoint_folder import SHARDS
from nines.errors import CheckpointError

NAME = "fsdp2"

# What an index holds beside torch's own records of it.
VALUES = {
    ("torch", "Size"),
    ("torch", "device"),
    ("torch.serialization", "_get_layout"),
    ("collections", "OrderedDict"),
    ("pathlib", "PosixPath"),
    ("pathlib._local", "PosixPath"),
    ("builtins", "set"),
}


class FSDP2Checkpoints(ModelParallelStrategy):
    """Saving and loading for a strategy by which torch's `fully_shard` shares the parameters out."""

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any | None = None) -> None:
        """Write the shards of all ranks, and let `filepath` name them once they are whole.

        Raises:
            StorageError: A rank could not write; what `filepath` named before is untouched.
        """
        states = enumerate(checkpoint.get("optimizer_states", []))
        tensors = {"state_dict": checkpoint["state_dict"], **{f"optimizer_{index}": state for index, state in states}}

        def write_shards(folder: Path) -> str | None:
            try:
                state_dict_saver.save(tensors, storage_writer=FileSystemWriter(folder / SHARDS))
            except CheckpointException as error:  # raised on every rank as soon as one failed
                cause = next(iter(error.failures.values()))[0]
                return one_line(cause) if isinstance(cause, OSError | RuntimeError) else str(cause)
            return None

        save_sharded(self, checkpoint, Path(filepath), name=NAME, write_shards=write_shards)

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Take up weights, and in training the optimizer's state, from a checkpoint that as many ranks wrote.

        Returns:
            Everything else that Lightning keeps.

        Raises:
            CheckpointError: It is damaged, of another architecture, strategy or number of ranks.
        """
        from torch.distributed.checkpoint.state_dict import (
            StateDictOptions,
            get_model_state_dict,
            get_optimizer_state_dict,
            set_model_state_dict,
            set_optimizer_state_dict,
        )

        path = Path(checkpoint_path)
        module, model = self.lightning_module, self.model
        assert module is not None
        assert model is not None
        with open_sharded(path, folder=folder_of_all_ranks(self, path)) as opened:
            manifest, state = opened.manifest, opened.state
            check_shapes(state, module, path)
            fitting = module.trainer.state.fn == TrainerFn.FITTING
            if fitting or manifest.strategy != NAME:
                check_resumable(manifest, path, name=NAME, zero_stage=None, ranks=self.world_size)
            own = get_model_state_dict(model, options=StateDictOptions(cpu_offload=True))
            weights = {name: own[name] for name in state["shapes"]}
            read_shards({"state_dict": weights}, opened)
            set_model_state_dict(model, weights, options=StateDictOptions(strict=False))
            for index, optimizer in enumerate(self.optimizers if fitting else []):
                moments = get_optimizer_state_dict(model, optimizer)
                read_shards({f"optimizer_{index}": moments}, opened)
                set_optimizer_state_dict(model, optimizer, optim_state_dict=moments)
        return state


def read_shards(state: dict[str, Any], opened: OpenCheckpoint, *, alone: bool = False) -> None:
    """Fill the tensors of `state` from a checkpoint; call it on every rank, or on one that is `alone`.

    Raises:
        CheckpointError: A file is damaged; on every rank.
    """
    try:
        state_dict_loader.load(state, storage_reader=ShardReader(opened.folder / SHARDS), no_dist=alone)
    except CheckpointException as error:
        cause = str(next(iter(error.failures.values()))[0]).strip()
        first = cause.splitlines()[0] if cause else "its files are damaged"
        raise CheckpointError(f"{opened.path} cannot be read as a checkpoint of FSDP2: {first}") from error


def whole_weights(opened: OpenCheckpoint, names: list[str]) -> dict[str, Tensor]:
    """The tensors `names` of an FSDP2 checkpoint, floating-point ones in float32.

    Raises:
        CheckpointError: A file is damaged.
    """
    try:
        described = ShardReader(opened.folder / SHARDS).read_metadata().state_dict_metadata
    except (OSError, EOFError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{opened.path} cannot be read as a checkpoint of FSDP2: {error}") from error
    weights: dict[str, Tensor] = {}
    for name in names:
        kept = described[f"state_dict.{name}"]
        assert isinstance(kept, TensorStorageMetadata)
        weights[name] = torch.empty(kept.size, dtype=kept.properties.dtype)
    read_shards({"state_dict": weights}, opened, alone=True)
    return {name: value.float() if value.is_floating_point() else value for name, value in weights.items()}


class ShardReader(FileSystemReader):
    """torch's reader of shards, with its index read as data: pickle would run what a damaged or foreign one says."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """What lies where in the shards."""
        with (Path(self.path) / ".metadata").open("rb") as file:
            metadata: Metadata = _IndexUnpickler(file).load()
        if metadata.storage_meta is not None:
            metadata.storage_meta.load_id = self.load_id
        return metadata


class _IndexUnpickler(pickle.Unpickler):
    """Builds torch's own records of an index, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        if (module, name) in VALUES:
            return super().find_class(module, name)
        if module.startswith("torch.distributed.checkpoint.") and isinstance(
            record := super().find_class(module, name), type
        ):
            return record
        raise pickle.UnpicklingError(f"its index names {module}.{name}, which is no record of torch's")
