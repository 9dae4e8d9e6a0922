from pathlib import Path
from typing import Any, ClassVar

import pytest

from benchmarks.chaos import user as module
from benchmarks.chaos.user import SweepError, User


class IdleCluster:
    environment: ClassVar[dict[str, str]] = {}

    def jobs(self) -> list[Any]:
        return [object(), object()]


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> User:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
    one = User(IdleCluster(), tmp_path, [], workers=2, note=lambda text: None)  # type: ignore[arg-type]
    monkeypatch.setattr(one, "state", lambda: "1 running")
    monkeypatch.setattr(one, "_nearly_done", lambda alive: True)
    return one


def test_what_keeps_the_sweep_unfinished_is_mended_while_it_is(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """A held job is released by `until`; had it to wait for the end of the sweep, both would wait forever."""
    held = [True]
    monkeypatch.setattr(user, "finished", lambda: not held[0])

    def release() -> bool:
        held[0] = False
        return True

    user.look_after(until=release, seconds=5)


def test_a_sweep_that_does_not_end_is_said(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user, "finished", lambda: False)
    with pytest.raises(SweepError, match="1 running"):
        user.look_after(until=lambda: True, seconds=0.05)
