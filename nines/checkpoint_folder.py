"""A checkpoint that several ranks wrote: a folder of shards with a manifest, behind a link that is swapped by rename.

`last.ckpt -> .last-120-5e6f7a8b`, and in that folder `checkpoint.json` (the manifest, written last), `state.ckpt`
(everything but tensors of the model and the optimizer) and `shards/`. Whoever follows the link sees a whole
checkpoint, the former or the new one, whenever a process is killed. Nothing here needs torch.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from nines.errors import CheckpointError, StorageError
from nines.files import read_json, write_json

MANIFEST = "checkpoint.json"
STATE = "state.ckpt"
SHARDS = "shards"

# What systems answer to a symbolic link that they cannot make.
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)

_FOLDER_NAME = re.compile(r"\.(?P<stem>.+)-(?P<step>\d+)-[0-9a-f]{8}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a sharded checkpoint is, and which files it needs to be whole.

    Attributes:
        identity: Random name of this checkpoint; what is made from it keeps it.
        strategy: `deepspeed` or `fsdp2`.
        zero_stage: 1, 2 or 3 under DeepSpeed, None elsewhere.
        ranks: Number of ranks that can resume from it.
        step: Optimizer steps done.
        epoch: Epochs done.
        architecture: Source of the model's weights, such as `hub:microsoft/deberta-v3-base`.
        precision: Lightning's name of the precision it was trained in.
        files: Path below the folder to size in bytes, of every other file.
        universal: Whether the shards are DeepSpeed's universal ones, each a whole parameter.
    """

    identity: str
    strategy: str
    zero_stage: int | None
    ranks: int
    step: int
    epoch: int
    architecture: str
    precision: str
    files: dict[str, int]
    universal: bool = False

    @property
    def trainer(self) -> str:
        """The strategy as the configuration group `trainer` calls it."""
        return f"deepspeed_zero{self.zero_stage}" if self.strategy == "deepspeed" else self.strategy

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(self.files.values())


def staging_folder(target: Path, *, step: int, token: str) -> Path:
    """The hidden folder beside `target` in which the checkpoint of `step` is written; `token` has 8 hex digits."""
    return target.with_name(f".{target.stem}-{step}-{token}")


def sizes(folder: Path) -> dict[str, int]:
    """Every file below `folder` but the manifest, with its bytes."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path != folder / MANIFEST)
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Declare `folder` whole.

    Raises:
        StorageError: The disk refused it.
    """
    write_json(folder / MANIFEST, dataclasses.asdict(manifest))


def read_manifest(path: Path, *, shown: Path | None = None) -> Manifest:
    """The manifest of the sharded checkpoint at `path`, after a look at every file that it names.

    Args:
        path: The link or the folder.
        shown: What messages call it, if not that.

    Raises:
        CheckpointError: There is none, or a file is missing or cut short.
    """
    folder = real_folder(path)
    try:
        return _checked_manifest(folder, shown=shown or path)
    except CheckpointError:
        if real_folder(path) == folder:
            raise
    return read_manifest(path, shown=shown)  # a training put another checkpoint there meanwhile


def real_folder(path: Path) -> Path:
    """What `path` names now; several files of one checkpoint are read there, for the link may move on meanwhile."""
    while path.is_symlink():
        path = path.parent / path.readlink()
    return path


def _checked_manifest(path: Path, *, shown: Path) -> Manifest:
    try:
        content: dict[str, Any] = read_json(path / MANIFEST)
        manifest = Manifest(**content)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{shown} is a folder without {MANIFEST}, so no whole checkpoint; resume from another, or remove it"
        ) from error
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError, NotADirectoryError) as error:
        raise CheckpointError(f"{shown / MANIFEST} is damaged ({error}); resume from another checkpoint") from error
    for name, size in manifest.files.items():
        file = path / name
        try:
            found = file.stat().st_size if file.is_file() else None
        except FileNotFoundError:
            found = None
        if found is None:
            raise CheckpointError(f"{shown} lacks its file {name}; copy it again as a whole, or use another checkpoint")
        if found != size:
            raise CheckpointError(
                f"{shown / name} has {found} bytes instead of {size}; copy the checkpoint again, or use another one"
            )
    return manifest


def is_sharded(path: Path) -> bool:
    """Whether `path` is a checkpoint that several ranks wrote (a folder, or the link to one)."""
    return path.is_dir() and (path / MANIFEST).exists()


def consolidated_file(target: Path, manifest: Manifest) -> Path:
    """Where the one file that is made of the sharded checkpoint `target` lies, beside it; another one has another."""
    return target.with_name(f"{target.stem}-{manifest.step}-{manifest.identity}.fp32.ckpt")


def publish(folder: Path, target: Path) -> None:
    """Let `target` name the whole checkpoint in `folder` from now on, and remove the one that it named.

    Raises:
        StorageError: The file system has no symbolic links, or refused this one; the former checkpoint is untouched.
    """
    former = _named_by(target)
    link = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        link.unlink(missing_ok=True)
        link.symlink_to(folder.name, target_is_directory=True)
        if target.is_dir() and not target.is_symlink():
            # A copy that followed links left a real folder, which no link can replace. Should this be the end of the
            # process, `clear_unpublished` finds the new checkpoint whole and publishes it.
            shutil.rmtree(target)
        link.replace(target)
        _flush_names(target.parent)
    except OSError as error:
        link.unlink(missing_ok=True)
        reason = error.strerror or str(error)
        if error.errno in NO_LINKS:
            reason = f"this file system has no symbolic links ({reason}), which sharded checkpoints need: choose runs=…"
        raise StorageError(
            f"cannot put the new checkpoint at {target}: {reason}; the former checkpoint is untouched"
        ) from error
    if former is not None and former != folder:
        remove(former)


def remove(folder: Path) -> None:
    """Delete a checkpoint's folder; from the first moment on nobody takes it for a whole one."""
    (folder / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def clear_unpublished(checkpoints: Path) -> None:
    """Remove what killed processes left below `checkpoints`. Only for who holds the run folder.

    A whole checkpoint whose link is missing altogether is published: the process died between the two.
    """
    if not checkpoints.is_dir():
        return
    folders = [path for path in checkpoints.iterdir() if path.is_dir() and _FOLDER_NAME.fullmatch(path.name)]
    for folder in sorted(folders, key=lambda path: int(_parts(path)[1]), reverse=True):
        target = checkpoints / f"{_parts(folder)[0]}.ckpt"
        if not target.exists() and _is_whole(folder):
            publish(folder, target)
    named = {_named_by(path) for path in checkpoints.glob("*.ckpt")}
    for folder in folders:
        if folder not in named:
            remove(folder)


def _is_whole(folder: Path) -> bool:
    try:
        read_manifest(folder)
    except CheckpointError:
        return False
    return True


def _parts(folder: Path) -> tuple[str, str]:
    match = _FOLDER_NAME.fullmatch(folder.name)
    assert match is not None
    return match["stem"], match["step"]


def _named_by(target: Path) -> Path | None:
    """The folder of ours beside `target` that it links to; a link that somebody else made elsewhere is not ours."""
    if not target.is_symlink():
        return None
    folder = target.parent / target.readlink()
    return folder if folder.parent == target.parent and _FOLDER_NAME.fullmatch(folder.name) else None


def _flush_names(folder: Path) -> None:
    """Have the renaming on the disk before anything is removed: also a machine may die."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
