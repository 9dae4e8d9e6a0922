from pathlib import Path

import pytest

from nines.run_folder import RunFolder, RunStatus
from nines.run_owner import TOKEN_VARIABLE, Superseded, ensure_owned, owns, take_over


def test_only_who_has_the_newest_token_owns_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = take_over(tmp_path)
    monkeypatch.setenv(TOKEN_VARIABLE, first)
    assert owns(tmp_path)
    second = take_over(tmp_path)
    assert second != first
    assert not owns(tmp_path)
    with pytest.raises(Superseded, match=str(tmp_path)):
        ensure_owned(tmp_path)
    monkeypatch.setenv(TOKEN_VARIABLE, second)
    ensure_owned(tmp_path)


def test_who_was_given_no_token_or_finds_none_is_not_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "anything")
    assert owns(tmp_path)
    take_over(tmp_path)
    monkeypatch.delenv(TOKEN_VARIABLE)
    assert owns(tmp_path)


def test_a_former_owner_cannot_write_the_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(tmp_path)
    monkeypatch.setenv(TOKEN_VARIABLE, take_over(tmp_path))
    RunStatus("running", step=3).write(folder)
    take_over(tmp_path)
    with pytest.raises(Superseded):
        RunStatus("failed").write(folder)
    status = RunStatus.read(folder)
    assert status is not None
    assert (status.state, status.step) == ("running", 3)
