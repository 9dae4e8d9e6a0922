from pathlib import Path

import pytest

from apps.preparation import prepare
from nines.errors import NinesError

TINY = ["model=tiny", "trainer=cpu", "datamodule.limit_rows=40"]


def caches(folder: Path) -> dict[str, int]:
    return {path.relative_to(folder).parts[0]: len(list(path.iterdir())) for path in folder.iterdir() if path.is_dir()}


def test_frozen_layers_are_computed_once_for_training_and_validation_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NINES_CACHE", str(tmp_path))
    prepare([*TINY, "module.model.freeze_layers=1"])
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "trunk").rglob("*") if path.is_file()}
    assert len([path for path in (tmp_path / "trunk").iterdir() if path.is_dir()]) == 2
    prepare([*TINY, "module.model.freeze_layers=1"])
    again = {path: path.stat().st_mtime_ns for path in (tmp_path / "trunk").rglob("*") if path.is_file()}
    assert again == made


def test_without_frozen_layers_only_weights_and_tokens_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NINES_CACHE", str(tmp_path))
    prepare(TINY)
    assert not (tmp_path / "trunk").exists()
    assert caches(tmp_path)["tokenised"] >= 2


def test_missing_data_is_said_before_any_trial(tmp_path: Path) -> None:
    with pytest.raises(NinesError, match="absent"):
        prepare([*TINY, f"datamodule.path={tmp_path / 'absent'}"])
