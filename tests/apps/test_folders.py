"""Which sweep or run is meant: by name, by folder, or the newest."""

import os
from pathlib import Path

import pytest

from apps.folders import newest_sweep, read_target, sweep_folder
from nines.errors import ConfigError, SweepError


def make(runs: Path, name: str, *, age: float) -> Path:
    folder = runs / "sweep" / name
    folder.mkdir(parents=True)
    (folder / "sweep.yaml").write_text("name: x\n")
    os.utime(folder / "sweep.yaml", (1e9 - age, 1e9 - age))
    return folder


def test_a_name_means_its_newest_sweep(tmp_path: Path) -> None:
    make(tmp_path, "clipping-00000000", age=50)
    newer = make(tmp_path, "clipping-11111111", age=10)
    make(tmp_path, "dropout-22222222", age=0)
    assert sweep_folder(read_target([f"runs={tmp_path}", "sweep=clipping"])) == newer


def test_nothing_means_the_newest_sweep_of_all(tmp_path: Path) -> None:
    make(tmp_path, "clipping-00000000", age=50)
    newest = make(tmp_path, "dropout-22222222", age=0)
    assert sweep_folder(read_target([f"runs={tmp_path}"])) == newest


def test_a_folder_is_taken_as_it_is_even_with_an_equals_sign(tmp_path: Path) -> None:
    folder = tmp_path / "name=value"
    folder.mkdir()
    assert sweep_folder(read_target([str(folder)])) == folder


def test_the_words_of_nines_sweep_mean_the_same_here(tmp_path: Path) -> None:
    folder = make(tmp_path, "mine-00000000", age=0)
    assert sweep_folder(read_target([f"folder={folder}"])) == folder
    assert sweep_folder(read_target([f"runs={tmp_path}", "name=mine"])) == folder


def test_an_unknown_name_lists_what_exists(tmp_path: Path) -> None:
    make(tmp_path, "clipping-00000000", age=0)
    with pytest.raises(SweepError, match="clipping-00000000"):
        sweep_folder(read_target([f"runs={tmp_path}", "sweep=cliping"]))


def test_no_sweep_at_all_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(SweepError, match="nines sweep"):
        newest_sweep(tmp_path)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sweeps=clipping"], "did you mean 'sweep'"),
        (["no/such/folder"], "there is no folder no/such/folder"),
        ([".", ".."], "one folder at a time"),
        (["sweep=clipping", "."], "not both"),
        (["folder=.", ".."], "one folder at a time"),
        (["folder=no/such"], "there is no folder no/such"),
        (["sweep=clipping", "name=dropout"], "one sweep at a time: clipping and dropout"),
    ],
)
def test_a_wrong_target_is_one_clear_line(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_target(words)
