"""Makes other checkpoints from one, without the ranks that wrote it: one whole file, or shards for other ranks."""

from __future__ import annotations

import dataclasses
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from lightning_modules.checkpoint_io import AtomicCheckpointIO, read_checkpoint
from lightning_modules.sharded_checkpoints import OpenCheckpoint, one_line, open_sharded
from nines.checkpoint_folder import (
    SHARDS,
    STATE,
    consolidated_file,
    is_sharded,
    publish,
    read_manifest,
    remove,
    sizes,
    staging_folder,
    write_manifest,
)
from nines.errors import CapabilityError, CheckpointError, StorageError
from nines.files import replacing

# What only a training that goes on needs, or what only a sharded checkpoint has.
NOT_OF_A_MODEL = ("loops", "callbacks", "lr_schedulers", "param_groups", "shapes")


def consolidate(path: Path, output: Path | None = None) -> Path:
    """Put the shards at `path` together to one file in float32, which prediction and evaluation take.

    Args:
        path: The checkpoint. A training may go on with it: what is read is one checkpoint, or an error.
        output: The file; None for one beside the checkpoint, named by step and identity of what was read.

    Returns:
        The file.

    Raises:
        CheckpointError: It is no sharded checkpoint, damaged, or was replaced before all of it was read.
        StorageError: The disk refused the file.
    """
    with open_sharded(path) as opened:
        weights = _whole_weights(opened)
    manifest, state = opened.manifest, opened.state
    content = {key: value for key, value in state.items() if key not in NOT_OF_A_MODEL}
    content["state_dict"] = {name: weights[name].contiguous() for name in state["shapes"]}
    file = consolidated_file(path, manifest) if output is None else output
    AtomicCheckpointIO().save_checkpoint({**content, "consolidated_from": manifest.identity}, file)
    return file


def _whole_weights(opened: OpenCheckpoint) -> dict[str, Tensor]:
    if opened.manifest.strategy == "fsdp2":
        from lightning_modules.fsdp2_checkpoints import whole_weights as of_fsdp2

        return of_fsdp2(opened, list(opened.state["shapes"]))
    _need_deepspeed(opened.path)
    from lightning_modules.deepspeed_checkpoints import whole_weights as of_deepspeed

    return of_deepspeed(opened)


def reshard(path: Path, *, ranks: int) -> int | None:
    """Let the checkpoint at `path` be resumed on `ranks` ranks; it is replaced as a whole, or stays as it was.

    One step goes on taking the rows that it took before, so each rank takes another number of them.

    Returns:
        Rows of one rank in one step from now on (`datamodule.batch_size`), None if the checkpoint does not say.

    Raises:
        CheckpointError: It is damaged, was replaced while it was read, or `ranks` cannot share its steps evenly.
        StorageError: The disk refused the new one.
    """
    if path.is_file():
        whole = read_checkpoint(path)
        batch_size = share_steps(whole, ranks=ranks, path=path)
        AtomicCheckpointIO().save_checkpoint(whole, path)
        return batch_size
    identity = secrets.token_hex(4)
    folder = None
    try:
        with open_sharded(path) as opened:
            _check_resharable(opened)
            batch_size = share_steps(opened.state, ranks=ranks, path=path)
            folder = staging_folder(path, step=opened.manifest.step, token=identity)
            _write_reshared(opened, folder, identity=identity, ranks=ranks)
        publish(folder, path)
    except (OSError, RuntimeError) as error:
        raise StorageError(f"cannot reshare {path}: {one_line(error)}; it is untouched") from error
    finally:
        if folder is not None and not (path.is_symlink() and path.readlink() == Path(folder.name)):
            remove(folder)
    return batch_size


def _check_resharable(opened: OpenCheckpoint) -> None:
    if opened.manifest.zero_stage == 0:
        raise CapabilityError(
            f"{opened.path} is of deepspeed without ZeRO, which cannot be reshared; resume it as it was"
        )


def _write_reshared(opened: OpenCheckpoint, folder: Path, *, identity: str, ranks: int) -> None:
    manifest = opened.manifest
    folder.mkdir()
    universal = manifest.strategy == "deepspeed"
    if universal and not manifest.universal:
        _make_universal(opened, folder)
    else:
        shutil.copytree(opened.folder / SHARDS, folder / SHARDS)  # each part can be read by any number of ranks
    with replacing(folder / STATE) as temporary:
        torch.save(opened.state, temporary)
    changes: dict[str, Any] = {"identity": identity, "ranks": ranks, "universal": universal}
    write_manifest(folder, dataclasses.replace(manifest, **changes, files=sizes(folder)))


def share_steps(state: dict[str, Any], *, ranks: int, path: Path) -> int | None:
    """Write into a training state that `ranks` ranks share each step from now on.

    Returns:
        Rows of one rank in one step; None if the state knows of no steps.

    Raises:
        CheckpointError: The rows of a step cannot be shared evenly.
    """
    batch_size = None
    for order in _orders(state):
        rows = int(order["batch_size"]) * int(order["world_size"])
        if ranks < 1 or rows % ranks:
            fitting = ", ".join(str(number) for number in range(1, rows + 1) if rows % number == 0)
            raise CheckpointError(
                f"{path}: its run takes {rows} rows a step, which {ranks} ranks cannot share evenly; "
                f"--ranks can be {fitting}"
            )
        batch_size = rows // ranks
        order.update(batch_size=batch_size, world_size=ranks)
    return batch_size


def ranks_of(path: Path) -> int | None:
    """The number of ranks that can resume from the checkpoint file or folder at `path`; None if it does not say."""
    if is_sharded(path):
        return read_manifest(path).ranks
    return next((int(order["world_size"]) for order in _orders(read_checkpoint(path))), None)


def _orders(state: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What each training loader keeps of the order of its batches."""
    fit = state.get("loops", {}).get("fit_loop", {}).get("state_dict", {})
    for loader in fit.get("combined_loader", []):
        if isinstance(loader, dict) and "order" in loader:
            yield loader["order"]


def _make_universal(opened: OpenCheckpoint, folder: Path) -> None:
    """DeepSpeed's own conversion: each parameter becomes a folder with its value and its moments.

    Raises:
        CheckpointError: The shards are damaged.
    """
    _need_deepspeed(opened.path)
    from deepspeed.checkpoint import ds_to_universal

    from lightning_modules.deepspeed_files import damage_named, only_values, silent

    options = SimpleNamespace(
        input_folder=str(opened.folder / SHARDS),
        output_folder=str(folder / SHARDS),
        num_extract_workers=1,  # one: its workers would not know which classes may be read
        num_merge_workers=1,
        keep_temp_folder=False,
        strict=True,
        inject_missing_state=True,
    )
    with damage_named(opened.path), only_values(), silent():
        ds_to_universal.main(options)


def _need_deepspeed(path: Path) -> None:
    try:
        import deepspeed  # noqa: F401
    except ImportError as error:
        raise CapabilityError(
            f"{path} is a checkpoint of deepspeed, which is not installed here; run: pip install 'nines-lab[deepspeed]'"
        ) from error
