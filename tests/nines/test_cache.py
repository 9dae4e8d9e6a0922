from pathlib import Path

import pytest

from nines.cache import cache_folder


def test_the_explicit_folder_wins_over_the_standard_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("NINES_CACHE", raising=False)
    assert cache_folder() == tmp_path / "xdg" / "nines"
    monkeypatch.setenv("NINES_CACHE", str(tmp_path / "own"))
    assert cache_folder() == (tmp_path / "own").resolve()


def test_without_either_it_lies_in_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NINES_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "nines"
