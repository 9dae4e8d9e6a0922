import json
import os
import resource
import signal
from pathlib import Path

import pytest

from nines.errors import ConfigError, StorageError
from nines.files import read_json, replacing, require_writable, write_json, write_text


def test_a_written_file_replaces_the_old_one_and_leaves_no_temporary(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file.txt"
    write_text(target, "old")
    write_text(target, "new")
    assert target.read_text() == "new"
    assert [path.name for path in target.parent.iterdir()] == ["file.txt"]


def test_a_folder_that_can_hold_files_is_found_out_without_a_trace(tmp_path: Path) -> None:
    require_writable(tmp_path / "runs" / "train", key="runs")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_hold_files_is_refused_by_its_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"runs: cannot write /proc/x/train/a: .* \(/proc\)"):
        require_writable(Path("/proc/x/train/a"), key="runs")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="Not a directory"):
        require_writable(tmp_path / "file" / "runs", key="runs")


def test_json_round_trips(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"ä": [1, 2.5, None]})
    assert read_json(tmp_path / "a.json") == {"ä": [1, 2.5, None]}
    assert "ä" in (tmp_path / "a.json").read_text(encoding="utf-8")


def test_an_exception_inside_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    write_text(target, "old")
    with pytest.raises(ZeroDivisionError), replacing(target) as temporary:
        temporary.write_text("half")
        _ = 1 / 0
    assert target.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_disk_that_refuses_the_write_is_one_line_and_keeps_the_old_file(tmp_path: Path) -> None:
    """A real refusal by the kernel: a file size limit, in a child so that the limit ends with it."""
    target = tmp_path / "file.json"
    write_json(target, {"old": True})
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))
        try:
            write_json(target, {"new": "x" * 100_000})
        except StorageError as error:
            os._exit(42 if "\n" not in str(error) and str(target) in str(error) else 1)
        finally:
            os._exit(2)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 42
    assert json.loads(target.read_text()) == {"old": True}
    assert len(list(tmp_path.iterdir())) == 1
