from pathlib import Path

import pytest

from nines.run_folder import RunFolder, RunStatus, run_name
from nines.run_owner import TOKEN_VARIABLE, Superseded, take_over


def test_the_name_depends_on_values_and_not_on_their_order() -> None:
    first = run_name("classifier", {"seed": 1, "module.optimizer.lr": 1e-4})
    assert first == run_name("classifier", {"module.optimizer.lr": 1e-4, "seed": 1})
    assert first != run_name("classifier", {"module.optimizer.lr": 2e-4, "seed": 1})
    assert first.startswith("classifier-")


def test_status_round_trips_through_its_file(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    assert RunStatus.read(folder) is None
    status = RunStatus(state="running", step=3, total_steps=10, objective=0.5, seconds_left=1.5)
    status.write(folder)
    assert RunStatus.read(folder) == status


def test_a_status_written_by_a_newer_version_is_still_read(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.status.write_text('{"state": "completed", "step": 7, "invented_later": 1}')
    status = RunStatus.read(folder)
    assert status is not None
    assert (status.state, status.step) == ("completed", 7)


def test_all_paths_lie_inside_the_folder(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    names = [
        "config",
        "overrides",
        "last",
        "best",
        "tensorboard",
        "metrics",
        "threshold",
        "status",
        "environment",
        "log",
    ]
    assert all(tmp_path in getattr(folder, name).parents for name in names)
    assert len({getattr(folder, name) for name in names}) == len(names)


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.checkpoints.mkdir()
    folder.last.write_bytes(b"whole")
    (folder.checkpoints / ".last.ckpt.123.tmp").write_bytes(b"half")
    (tmp_path / ".status.json.9.tmp").write_text("{")
    folder.clear_leftovers()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["checkpoints", "last.ckpt"]


def test_a_process_that_lost_the_folder_removes_nothing_of_its_new_owners(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path)
    shard = folder.checkpoints / ".last-120-5e6f7a8b" / "shard.pt"
    shard.parent.mkdir(parents=True)
    shard.write_bytes(b"half")
    monkeypatch.setenv(TOKEN_VARIABLE, take_over(tmp_path))
    take_over(tmp_path)
    with pytest.raises(Superseded):
        folder.clear_leftovers()
    assert shard.exists()
