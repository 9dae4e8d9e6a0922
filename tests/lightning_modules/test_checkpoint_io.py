import os
import resource
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_modules.checkpoint_io import AtomicCheckpointIO, describe_mismatch, read_checkpoint
from nines.errors import CheckpointError, StorageError
from nines.run_folder import RunFolder
from nines.run_owner import TOKEN_VARIABLE, Superseded, take_over
from tests.nines.test_checkpoint_folder import sharded_checkpoint


def test_a_checkpoint_round_trips_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"state_dict": {"w": torch.arange(3)}, "epoch": 1}, path)
    loaded = AtomicCheckpointIO().load_checkpoint(path)
    assert loaded["epoch"] == 1
    assert torch.equal(loaded["state_dict"]["w"], torch.arange(3))
    assert [file.name for file in path.parent.iterdir()] == ["last.ckpt"]


def test_a_full_disk_keeps_the_previous_checkpoint_whole(tmp_path: Path) -> None:
    """The kernel refuses to write beyond a file size limit, as it does on a full disk."""
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"step": 1}, path)
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            AtomicCheckpointIO().save_checkpoint({"step": 2, "w": torch.zeros(1_000_000)}, path)
        except StorageError as error:
            os._exit(42 if "\n" not in str(error) and "last.ckpt" in str(error) else 1)
        finally:
            os._exit(2)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 42
    assert read_checkpoint(path)["step"] == 1
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 half a zip"])
def test_a_damaged_file_is_one_line_that_names_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "last.ckpt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"last\.ckpt cannot be read") as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="give the path"):
        read_checkpoint(tmp_path / "absent.ckpt")


def test_code_inside_a_checkpoint_is_never_run(tmp_path: Path) -> None:
    class Dangerous:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (os.mkdir, (str(tmp_path / "executed"),))

    torch.save({"payload": Dangerous()}, tmp_path / "bad.ckpt")
    with pytest.raises(CheckpointError):
        read_checkpoint(tmp_path / "bad.ckpt")
    assert not (tmp_path / "executed").exists()


def test_a_mismatch_names_shapes_then_what_is_missing_then_what_is_extra() -> None:
    saved = {"a": torch.zeros(2), "b": torch.zeros(1), "c": torch.zeros(1), "d": torch.zeros(1)}
    own = {"a": torch.zeros(3), "b": torch.zeros(1), "e": torch.zeros(1)}
    assert describe_mismatch(saved, own) == (
        "a is (2,) in the checkpoint and (3,) here; e is only here; c is only in the checkpoint; and 1 more"
    )
    assert describe_mismatch(saved, saved) == ""


def test_who_loses_the_run_folder_while_writing_leaves_the_new_owners_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, take_over(tmp_path))
    target = RunFolder(tmp_path).last
    AtomicCheckpointIO().save_checkpoint({"step": 1}, target)
    before = target.read_bytes()
    save = torch.save

    def slow_save(*arguments: Any) -> None:
        save(*arguments)
        take_over(tmp_path)

    monkeypatch.setattr(torch, "save", slow_save)
    with pytest.raises(Superseded):
        AtomicCheckpointIO().save_checkpoint({"step": 2}, target)
    assert target.read_bytes() == before
    assert list(target.parent.iterdir()) == [target]


def test_shards_are_refused_where_one_file_is_wanted_with_both_ways_on(tmp_path: Path) -> None:
    sharded_checkpoint(tmp_path / "last.ckpt", step=1)
    with pytest.raises(CheckpointError, match="by 2 ranks under deepspeed_zero2; resume it with trainer=") as caught:
        AtomicCheckpointIO().load_checkpoint(tmp_path / "last.ckpt")
    assert str(caught.value).endswith(f"nines checkpoint consolidate {tmp_path / 'last.ckpt'}")
