import errno
import json
import os
from pathlib import Path

import pytest

from nines import checkpoint_folder
from nines.checkpoint_folder import (
    MANIFEST,
    SHARDS,
    Manifest,
    clear_unpublished,
    is_sharded,
    publish,
    read_manifest,
    sizes,
    staging_folder,
    write_manifest,
)
from nines.errors import CheckpointError, StorageError
from nines.run_folder import RunFolder


def staged_checkpoint(target: Path, *, step: int, ranks: int = 2) -> tuple[Path, Manifest]:
    """A whole checkpoint that nothing links to yet."""
    token = f"{step:08x}"
    folder = staging_folder(target, step=step, token=token)
    (folder / SHARDS).mkdir(parents=True)
    for rank in range(ranks):
        (folder / SHARDS / f"{rank}.pt").write_text(f"rank {rank} of step {step}")
    manifest = Manifest(
        identity=token,
        strategy="deepspeed",
        zero_stage=2,
        ranks=ranks,
        step=step,
        epoch=0,
        architecture="tiny:bert",
        precision="32-true",
        files=sizes(folder),
    )
    write_manifest(folder, manifest)
    return folder, manifest


def sharded_checkpoint(target: Path, *, step: int, ranks: int = 2) -> Manifest:
    folder, manifest = staged_checkpoint(target, step=step, ranks=ranks)
    publish(folder, target)
    return manifest


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_new_checkpoint_takes_the_place_of_the_former_which_is_removed(tmp_path: Path) -> None:
    target = tmp_path / "last.ckpt"
    sharded_checkpoint(target, step=1)
    manifest = sharded_checkpoint(target, step=2)
    assert read_manifest(target) == manifest
    assert names(tmp_path) == [".last-2-00000002", "last.ckpt"]


STEPS = ("symlink_to", "replace", "rmtree")


@pytest.mark.parametrize("killed_at", STEPS)
def test_a_kill_at_any_point_of_the_swap_leaves_a_whole_checkpoint_and_what_is_left_is_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: str
) -> None:
    run = RunFolder(tmp_path)
    run.checkpoints.mkdir()
    sharded_checkpoint(run.last, step=1)
    sharded_checkpoint(run.best, step=1)
    staged, _ = staged_checkpoint(run.last, step=2)
    child = os.fork()
    if child == 0:
        owner = checkpoint_folder.shutil if killed_at == "rmtree" else Path
        monkeypatch.setattr(owner, killed_at, lambda *_, **__: os._exit(9))
        publish(staged, run.last)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert read_manifest(run.last).step == (2 if killed_at == "rmtree" else 1)
    run.clear_leftovers()
    left = [name for name in names(run.checkpoints) if name != "best.ckpt" and not name.startswith(".best")]
    step = read_manifest(run.last).step
    assert left == [f".last-{step}-{step:08x}", "last.ckpt"]
    assert read_manifest(run.best).step == 1


def test_an_unfinished_write_is_cleared_and_a_whole_one_without_its_link_is_published(tmp_path: Path) -> None:
    for step in (3, 4):
        staged_checkpoint(tmp_path / "last.ckpt", step=step)
    staged, _ = staged_checkpoint(tmp_path / "last.ckpt", step=5)
    (staged / MANIFEST).unlink()
    clear_unpublished(tmp_path)
    assert read_manifest(tmp_path / "last.ckpt").step == 4
    assert names(tmp_path) == [".last-4-00000004", "last.ckpt"]


def test_folders_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".last-mine").mkdir()
    (tmp_path / "kept").mkdir()
    (tmp_path / "last.ckpt").symlink_to("kept")
    staged, _ = staged_checkpoint(tmp_path / "last.ckpt", step=2)
    publish(staged, tmp_path / "last.ckpt")
    clear_unpublished(tmp_path)
    assert names(tmp_path) == [".last-2-00000002", ".last-mine", "kept", "last.ckpt"]


def test_a_copy_that_followed_the_links_is_replaced_too(tmp_path: Path) -> None:
    sharded_checkpoint(tmp_path / "last.ckpt", step=1)
    (tmp_path / "last.ckpt").unlink()
    (tmp_path / ".last-1-00000001").rename(tmp_path / "last.ckpt")
    assert is_sharded(tmp_path / "last.ckpt")
    sharded_checkpoint(tmp_path / "last.ckpt", step=2)
    assert read_manifest(tmp_path / "last.ckpt").step == 2


@pytest.mark.parametrize(("code", "said"), [(errno.EPERM, "no symbolic links"), (errno.ENOSPC, "No space left")])
def test_a_refused_link_is_one_line_and_the_former_checkpoint_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, said: str
) -> None:
    target = tmp_path / "last.ckpt"
    sharded_checkpoint(target, step=1)
    staged, _ = staged_checkpoint(target, step=2)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "symlink_to", refuse)
    with pytest.raises(StorageError, match=said) as caught:
        publish(staged, target)
    assert "\n" not in str(caught.value)
    assert read_manifest(target).step == 1


def break_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_text("{")


def drop_key(folder: Path) -> None:
    content = json.loads((folder / MANIFEST).read_text())
    del content["ranks"]
    (folder / MANIFEST).write_text(json.dumps(content))


DAMAGES = {
    "no manifest": (lambda folder: (folder / MANIFEST).unlink(), "without checkpoint.json"),
    "broken manifest": (break_manifest, "checkpoint.json is damaged"),
    "manifest of another form": (drop_key, "checkpoint.json is damaged"),
    "missing shard": (lambda folder: (folder / SHARDS / "1.pt").unlink(), "lacks its file shards/1.pt"),
    "short shard": (lambda folder: (folder / SHARDS / "1.pt").write_text("x"), "has 1 bytes instead of 16"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_damage_is_one_line_that_names_the_checkpoint(tmp_path: Path, damage: str) -> None:
    sharded_checkpoint(tmp_path / "last.ckpt", step=1)
    change, said = DAMAGES[damage]
    change(tmp_path / "last.ckpt")
    with pytest.raises(CheckpointError, match=said) as caught:
        read_manifest(tmp_path / "last.ckpt")
    assert "\n" not in str(caught.value)
    assert "last.ckpt" in str(caught.value)
