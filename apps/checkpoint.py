"""`nines checkpoint`: says what a checkpoint is, makes one file of its shards, or shards for other ranks."""

from __future__ import annotations

import argparse
import logging
import shlex
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.printed_commands import printed
from nines.checkpoint_folder import Manifest, consolidated_file, is_sharded, read_manifest
from nines.errors import CheckpointError, UserError
from nines.folder_lock import lock_folder
from nines.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Sequence

EXAMPLES = """\
examples:
  nines checkpoint show runs/train/classifier-5e6f7a8b             what its checkpoints are
  nines checkpoint consolidate runs/train/classifier-5e6f7a8b      one float32 file for nines predict and evaluate
  nines checkpoint reshard runs/train/classifier-5e6f7a8b --ranks 4   go on with 4 ranks instead of those before

Runs under trainer=deepspeed_zero1 … zero3 and trainer=fsdp2 write their checkpoints in shards, one a rank."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe `nines checkpoint` to argparse."""
    parser.epilog = EXAMPLES
    actions = parser.add_subparsers(dest="action", required=True, metavar="show | consolidate | reshard")
    show = actions.add_parser("show", help="print strategy, ranks, step, epoch, size and architecture")
    consolidate = actions.add_parser("consolidate", help="make one file of the shards, with weights in float32")
    reshard = actions.add_parser("reshard", help="let training go on with another number of ranks")
    for action in (show, consolidate, reshard):
        action.add_argument("checkpoint", type=Path, help="a run folder, or a checkpoint in it")
    consolidate.add_argument("--output", type=Path, metavar="FILE", help="default: beside the checkpoint")
    reshard.add_argument("--ranks", type=int, required=True, metavar="N", help="processes, over all nodes, at least 1")


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked.

    Raises:
        CheckpointError: There is no checkpoint, it is damaged, or it cannot be made what was asked.
        StorageError: The disk refused a write, or a process still trains in the run folder.
    """
    if arguments.action == "show":
        return _show(arguments.checkpoint)
    # Converting needs no device, and the machine that does it may well have none.
    logging.getLogger("DeepSpeed").addFilter(tells_something)
    if arguments.action == "consolidate":
        return _consolidate(arguments.checkpoint, arguments.output)
    return _reshard(arguments.checkpoint, ranks=arguments.ranks)


def tells_something(record: logging.LogRecord) -> bool:
    """Whether a line of DeepSpeed's log is more than that it found no GPU."""
    return not record.getMessage().startswith("Setting accelerator to CPU")


def checkpoints_of(path: Path, *, first: Sequence[str] = ("best", "last")) -> list[Path]:
    """The checkpoints that a user means by a run folder or by a checkpoint, the one named `first` first.

    Raises:
        CheckpointError: There is none.
    """
    if path.is_file() or is_sharded(path):
        return [path]
    folder = RunFolder(path)
    found = [checkpoint for name in first if (checkpoint := getattr(folder, name)).exists()]
    if not found:
        raise CheckpointError(f"{path} holds no checkpoint; give a run folder, or a checkpoint in it")
    return found


def _consolidate(path: Path, output: Path | None) -> int:
    checkpoint = checkpoints_of(path)[0]
    if checkpoint.is_file():
        print(f"{checkpoint} is one file already; nines predict and nines evaluate take it as it is")
        return 0
    if output is not None and (output.is_dir() or output.absolute() == checkpoint.absolute()):
        raise UserError(f"--output {output} is a folder; name the file to write")
    from lightning_modules.checkpoint_conversion import consolidate

    file = consolidate(checkpoint, output)
    print(f"{file}  {_bytes(file.stat().st_size)}")
    print(f"  score your own pairs    nines predict {_quoted(path if output is None else file)} pairs.jsonl")
    return 0


def _reshard(path: Path, *, ranks: int) -> int:
    if ranks < 1:
        raise UserError(f"--ranks must be at least 1, got {ranks}")
    from lightning_modules.checkpoint_conversion import ranks_of, reshard

    checkpoint = checkpoints_of(path, first=("last",))[0]
    with ExitStack() as held:
        in_run = checkpoint.parent.name == "checkpoints"
        if in_run:
            held.enter_context(lock_folder(checkpoint.parent.parent))
        before = ranks_of(checkpoint)
        if before == ranks:
            print(f"{checkpoint} is for {ranks} ranks already")
            return 0
        if before is None and checkpoint.is_file():
            print(f"{checkpoint} is one file, which any number of ranks can resume; there is nothing to do")
            return 0
        batch_size = reshard(checkpoint, ranks=ranks)
    print(f"{checkpoint}: {before} ranks before, {ranks} now")
    if in_run:
        share = [] if batch_size is None else [f"datamodule.batch_size={batch_size}"]
        words = [f"resume={checkpoint.parent.parent}", f"trainer.devices={ranks}", *share]
        print(f"  go on with it           {printed('train', *words)}")
        print("  over several nodes      trainer.devices is the ranks of one, trainer.num_nodes how many there are")
    return 0


def _show(path: Path) -> int:
    for number, checkpoint in enumerate(checkpoints_of(path, first=("last", "best"))):
        if number:
            print()
        print(checkpoint)
        facts = _sharded(checkpoint, read_manifest(checkpoint)) if is_sharded(checkpoint) else _whole(checkpoint)
        for name, value in facts.items():
            print(f"  {name:<14}{value}")
    return 0


# Epochs are shown as people count them: Lightning numbers the first one 0, also in a checkpoint at its end.
def _sharded(checkpoint: Path, manifest: Manifest) -> dict[str, Any]:
    file = consolidated_file(checkpoint, manifest)
    return {
        "strategy": f"trainer={manifest.trainer}" + (", reshared" if manifest.universal else ""),
        "ranks": manifest.ranks,
        "step": manifest.step,
        "epoch": manifest.epoch + 1,
        "precision": manifest.precision,
        "architecture": manifest.architecture,
        "size": f"{_bytes(manifest.size)} in {len(manifest.files)} files",
        "as one file": file if file.is_file() else f"nines checkpoint consolidate {_quoted(checkpoint)}",
    }


def _whole(checkpoint: Path) -> dict[str, Any]:
    from lightning_modules.checkpoint_conversion import ranks_of
    from lightning_modules.checkpoint_io import read_checkpoint

    content = read_checkpoint(checkpoint)
    made = content.get("consolidated_from")
    ranks = ranks_of(checkpoint)
    return {
        "strategy": f"none: weights of {made}, not to be resumed" if made else "one process or trainer=ddp",
        **({} if ranks is None else {"ranks": ranks}),
        "step": content.get("global_step", "unknown"),
        "epoch": content["epoch"] + 1 if "epoch" in content else "unknown",
        "architecture": content.get("hyper_parameters", {}).get("model", {}).get("source", "unknown"),
        "size": f"{_bytes(checkpoint.stat().st_size)} in one file",
    }


def _bytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
