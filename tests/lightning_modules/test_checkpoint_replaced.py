"""A training that goes on replaces the checkpoint that a command is reading."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_modules import checkpoint_conversion
from lightning_modules.checkpoint_conversion import consolidate, reshard
from lightning_modules.checkpoint_io import read_checkpoint
from nines.checkpoint_folder import publish, read_manifest, real_folder, staging_folder, write_manifest
from nines.errors import CheckpointError
from tests.lightning_modules.test_sharded_checkpoints import save_twice

STRATEGIES = ["deepspeed_zero2", "fsdp2"]
REPLACED = r"last\.ckpt was replaced while it was read; run the command again$"


@pytest.fixture(scope="module", params=STRATEGIES)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A strategy, and a folder with a checkpoint of it."""
    name: str = request.param
    if name != "fsdp2":
        pytest.importorskip("deepspeed")
    folder = tmp_path_factory.mktemp(name)
    assert save_twice(folder, name, lambda rank: None) == [0, 0]
    return name, folder


@pytest.fixture
def checkpoint(written: tuple[str, Path], tmp_path: Path) -> Path:
    """A copy of it, with the next one whole beside it."""
    shutil.copytree(written[1], tmp_path / "checkpoints", symlinks=True)
    last = tmp_path / "checkpoints" / "last.ckpt"
    manifest = dataclasses.replace(read_manifest(last), identity="f" * 8, step=7)
    following = staging_folder(last, step=7, token="f" * 8)
    shutil.copytree(real_folder(last), following)
    write_manifest(following, manifest)
    return last


def replace_once(monkeypatch: pytest.MonkeyPatch, holder: Any, name: str, last: Path, *, marks: str = "") -> None:
    """Let the next checkpoint take its place right after the first call of `holder.name` on a path with `marks`."""
    usual, done = getattr(holder, name), []

    def call(*arguments: Any, **options: Any) -> Any:
        result = usual(*arguments, **options)
        if marks in str(arguments[:1]) and not done:
            done.append(True)
            publish(staging_folder(last, step=7, token="f" * 8), last)
        return result

    monkeypatch.setattr(holder, name, call)


@pytest.mark.slow
def test_one_file_is_never_made_of_two_checkpoints(
    written: tuple[str, Path], checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if written[0] == "fsdp2":
        from lightning_modules.fsdp2_checkpoints import ShardReader

        replace_once(monkeypatch, ShardReader, "read_metadata", checkpoint)
    else:
        replace_once(monkeypatch, torch, "load", checkpoint, marks="optim_states")
    with pytest.raises(CheckpointError, match=REPLACED):
        consolidate(checkpoint)
    assert list(checkpoint.parent.glob("*.fp32.ckpt")) == []
    file = consolidate(checkpoint)
    assert file.name == "last-7-ffffffff.fp32.ckpt"
    assert read_checkpoint(file)["consolidated_from"] == "f" * 8


@pytest.mark.slow
def test_the_file_is_named_by_what_was_read_when_the_next_checkpoint_comes_after_the_last_read(
    written: tuple[str, Path], checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = read_manifest(checkpoint)
    replace_once(monkeypatch, checkpoint_conversion.AtomicCheckpointIO, "save_checkpoint", checkpoint)
    file = consolidate(checkpoint)
    assert read_manifest(checkpoint).identity == "f" * 8
    assert file.name == f"last-{read.step}-{read.identity}.fp32.ckpt"
    assert read_checkpoint(file)["consolidated_from"] == read.identity


@pytest.mark.slow
def test_resharding_leaves_a_checkpoint_that_came_meanwhile_as_it_is(
    written: tuple[str, Path], checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_once(monkeypatch, checkpoint_conversion, "sizes", checkpoint)  # after all shards
    with pytest.raises(CheckpointError, match=REPLACED):
        reshard(checkpoint, ranks=1)
    assert read_manifest(checkpoint).identity == "f" * 8
    assert read_manifest(checkpoint).ranks == 2
    assert [path.name for path in checkpoint.parent.glob(".last-*")] == [".last-7-ffffffff"]
