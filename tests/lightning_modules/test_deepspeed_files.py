import os
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("deepspeed")

from lightning_modules.deepspeed_files import ONLY_VALUES, ShardFiles, damage_named, only_values
from nines.errors import CheckpointError


class Dangerous:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (os.mkdir, (str(self.path),))


def test_code_inside_a_shard_is_never_run_whatever_deepspeed_asks_for(tmp_path: Path) -> None:
    torch.save({"payload": Dangerous(tmp_path / "executed")}, tmp_path / "bad.pt")
    with pytest.raises(CheckpointError, match=r"bad.pt cannot be read") as caught:
        ShardFiles().preload([tmp_path / "bad.pt"])
    assert "\n" not in str(caught.value)
    with pytest.raises(CheckpointError), damage_named(tmp_path), only_values():
        torch.load(tmp_path / "bad.pt", weights_only=False)  # as DeepSpeed's converters do
    assert not (tmp_path / "executed").exists()


def test_records_of_deepspeed_are_read(tmp_path: Path) -> None:
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    torch.save({"stage": ZeroStageEnum(2), "where": fragment_address(numel=3, start=1)}, tmp_path / "good.pt")
    files = ShardFiles()
    files.preload([tmp_path / "good.pt"])
    found = files.load(str(tmp_path / "good.pt"))
    assert found["stage"] == 2
    assert found["where"].numel == 3


def test_what_may_be_read_is_as_before_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ONLY_VALUES, raising=False)
    before = set(torch.serialization.get_safe_globals())
    with only_values():
        assert os.environ[ONLY_VALUES] == "1"
        assert set(torch.serialization.get_safe_globals()) > before
    assert ONLY_VALUES not in os.environ
    assert set(torch.serialization.get_safe_globals()) == before


def test_a_failed_write_is_kept_and_does_not_keep_the_rank_from_its_others(tmp_path: Path) -> None:
    files = ShardFiles()
    files.save({"a": 1}, str(tmp_path / "absent" / "a.pt"))
    files.save({"b": 2}, str(tmp_path / "b.pt"))
    assert files.problem == "No such file or directory"
    with only_values():
        assert files.load(str(tmp_path / "b.pt")) == {"b": 2}
