"""What strategies that write a checkpoint from every rank share: one write by all or by none, checks before a read.

The folder itself, its manifest and its link are `nines.checkpoint_folder`'s; what lies in `shards/` is the strategy's.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.strategies import ParallelStrategy
from torch import Tensor, nn

from lightning_modules.checkpoint_io import describe_mismatch, read_checkpoint
from nines.checkpoint_folder import (
    SHARDS,
    STATE,
    Manifest,
    publish,
    read_manifest,
    real_folder,
    remove,
    sizes,
    staging_folder,
    write_manifest,
)
from nines.errors import CheckpointError, NinesError, StorageError
from nines.files import replacing
from nines.run_owner import ensure_owned

# What the ranks share among themselves; everything else rank 0 writes as it would without them.
SHARED = ("state_dict", "optimizer_states")


def save_sharded(
    strategy: ParallelStrategy,
    checkpoint: Mapping[str, Any],
    target: Path,
    *,
    name: str,
    zero_stage: int | None = None,
    write_shards: Callable[[Path], str | None],
) -> None:
    """Write a checkpoint from all ranks, and let `target` name it once it is whole. Call it on every rank.

    Args:
        strategy: Knows the ranks.
        checkpoint: What Lightning collected.
        target: Such as `checkpoints/last.ckpt`; it becomes a link.
        name: `deepspeed` or `fsdp2`.
        zero_stage: Of DeepSpeed.
        write_shards: Writes this rank's part into `shards/` of the folder that it is given, and tells what failed. It
            must take part in all collective calls whatever fails.

    Raises:
        StorageError: A rank could not write; on every rank, and the former checkpoint is untouched.
    """
    module = strategy.lightning_module
    assert module is not None
    target = Path(strategy.broadcast(str(target)))
    identity: str = strategy.broadcast(secrets.token_hex(4))
    step = int(checkpoint["global_step"])
    folder = staging_folder(target, step=step, token=identity)
    state = {key: value for key, value in checkpoint.items() if key not in SHARED}
    state["shapes"] = {name: list(shape) for name, shape in whole_shapes(module, checkpoint["state_dict"]).items()}

    def begin() -> None:
        (folder / SHARDS).mkdir(parents=True)

    def finish() -> None:
        with replacing(folder / STATE) as temporary:
            torch.save(state, temporary)
        write_manifest(
            folder,
            Manifest(
                identity=identity,
                strategy=name,
                zero_stage=zero_stage,
                ranks=strategy.world_size,
                step=step,
                epoch=int(checkpoint["epoch"]),
                architecture=str(module.hparams.get("model", {}).get("source", type(module).__name__)),
                precision=str(module.trainer.precision),
                files=sizes(folder),
            ),
        )
        ensure_owned(target.parent.parent)  # shards take minutes to write, enough for a new owner of the run
        publish(folder, target)

    def agree(problem: str | None) -> None:
        """End on every rank as soon as one of them failed."""
        if (found := first_of_ranks(problem)) is None:
            return
        if strategy.is_global_zero:
            remove(folder)
        raise StorageError(f"cannot write the checkpoint {target}: {found}; the previous one is untouched")

    leads = strategy.is_global_zero
    agree(problem_of(begin) if leads else None)
    agree(write_shards(folder))
    agree(problem_of(finish) if leads else None)


@dataclass(frozen=True)
class OpenCheckpoint:
    """A sharded checkpoint while it is read.

    Attributes:
        path: What the user calls it, for messages.
        folder: Where its files lie, whatever `path` names by now.
        manifest: What it is.
        state: Everything but tensors of the model and the optimizer.
    """

    path: Path
    folder: Path
    manifest: Manifest
    state: dict[str, Any]


@contextmanager
def open_sharded(path: Path, *, folder: Path | None = None) -> Generator[OpenCheckpoint, None, None]:
    """Read a sharded checkpoint within the block; after it, what was read is known to be one and the same checkpoint.

    A training that goes on removes the checkpoint as soon as it has written the next one.

    Args:
        path: The checkpoint, usually a link.
        folder: Where its files lie, if ranks have agreed on that: see `folder_of_all_ranks`.

    Raises:
        CheckpointError: It is no sharded checkpoint, not whole, or was removed before all of it was read. If ranks read
            together, the last is raised on all of them.
    """
    if path.is_file():
        raise CheckpointError(
            f"{path} is the checkpoint of one process or of ddp, whose optimizer no sharding strategy takes up; resume "
            "with the trainer that wrote it (config.yaml beside it says which), or start a new run"
        )
    if not path.exists():
        raise CheckpointError(f"no checkpoint at {path}; give the path of a checkpoint or of a run folder")
    folder = real_folder(path) if folder is None else folder
    manifest = None
    try:
        manifest = read_manifest(folder, shown=path)
        yield OpenCheckpoint(path, folder, manifest, read_checkpoint(folder / STATE))
    except Exception as error:
        if _is_still(folder, manifest) or (manifest is None and real_folder(path) == folder):
            raise
        raise CheckpointError(_replaced(path)) from error
    if first_of_ranks(None if _is_still(folder, manifest) else "replaced"):
        raise CheckpointError(_replaced(path))


def folder_of_all_ranks(strategy: ParallelStrategy, path: Path) -> Path:
    """Where the files of the checkpoint `path` lie, as rank 0 sees it now. Call it on every rank."""
    return Path(strategy.broadcast(str(real_folder(path)), src=0))


def _is_still(folder: Path, manifest: Manifest | None) -> bool:
    """Whether `folder` holds all files of the checkpoint that it held: the manifest is the first to go."""
    try:
        return manifest is not None and read_manifest(folder).identity == manifest.identity
    except CheckpointError:
        return False


def _replaced(path: Path) -> str:
    return f"{path} was replaced while it was read; run the command again"


def check_resumable(manifest: Manifest, path: Path, *, name: str, zero_stage: int | None, ranks: int) -> None:
    """Refuse to resume what another strategy, or another number of ranks, has shared out.

    Raises:
        CheckpointError: With the command that helps.
    """
    trainer = f"deepspeed_zero{zero_stage}" if name == "deepspeed" else name
    if (manifest.strategy, manifest.zero_stage) != (name, zero_stage):
        raise CheckpointError(
            f"{path} was written under {manifest.trainer}, and this run is under {trainer}; "
            f"resume with trainer={manifest.trainer}"
        )
    if manifest.ranks != ranks:
        raise CheckpointError(
            f"{path} is for {manifest.ranks} ranks and this run has {ranks}; "
            f"run: nines checkpoint reshard {path} --ranks {ranks}"
        )


def check_shapes(state: Mapping[str, Any], module: LightningModule, path: Path) -> None:
    """Refuse a checkpoint of another architecture before any shard is read.

    Raises:
        CheckpointError: With the first differences.
    """
    saved = {name: torch.empty(shape, device="meta") for name, shape in state["shapes"].items()}
    shapes = whole_shapes(module, module.state_dict())
    frozen = {name for name, parameter in module.named_parameters() if not parameter.requires_grad}
    own = {
        name: torch.empty(shape, device="meta") for name, shape in shapes.items() if name in saved or name not in frozen
    }
    if differences := describe_mismatch(saved, own):
        raise CheckpointError(f"{path} is of another architecture: {differences}")


def whole_shapes(module: nn.Module, state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    """The shape of each tensor of `state`, a state dict of `module`, with the shares of all ranks put together."""
    parameters = dict(module.named_parameters(remove_duplicate=False))
    return {
        # Under ZeRO-3 a parameter looks empty, and DeepSpeed keeps its shape beside it.
        name: torch.Size(getattr(parameters.get(name), "ds_shape", value.shape))
        for name, value in state.items()
    }


def first_of_ranks(problem: str | None) -> str | None:
    """The problem of the lowest rank that has one, on every rank; None if none has. Call it on every rank."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return problem
    everyone: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(everyone, problem)
    return next((found for found in everyone if found is not None), None)


def problem_of(task: Callable[[], Any]) -> str | None:
    """What the disk refused in `task`, or why it may not be written, in one line; None when all went well."""
    try:
        task()
    except (OSError, RuntimeError, NinesError) as error:
        return one_line(error)
    return None


def one_line(error: BaseException) -> str:
    """What an error of the disk says; torch's zip writer loses the cause in C++ and raises RuntimeError."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return first if isinstance(error, NinesError) else f"the disk refused it, full? ({first})"
