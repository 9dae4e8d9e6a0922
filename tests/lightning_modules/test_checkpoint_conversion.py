from pathlib import Path
from typing import Any

import pytest

from lightning_modules.checkpoint_conversion import ranks_of, reshard, share_steps
from lightning_modules.checkpoint_io import AtomicCheckpointIO, read_checkpoint
from nines.errors import CheckpointError


def state(*, batch_size: int = 8, ranks: int = 2) -> dict[str, Any]:
    order = {"steps": 6, "batch_size": batch_size, "world_size": ranks, "seed": 0}
    loaders = [{"epoch": 1, "position": 3, "order": order}]
    return {"loops": {"fit_loop": {"state_dict": {"combined_loader": loaders}}}}


def order_of(content: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = content["loops"]["fit_loop"]["state_dict"]["combined_loader"][0]["order"]
    return found


@pytest.mark.parametrize(("ranks", "batch_size"), [(1, 16), (2, 8), (4, 4), (16, 1)])
def test_ranks_share_the_rows_that_a_step_took_before(ranks: int, batch_size: int) -> None:
    content = state()
    assert share_steps(content, ranks=ranks, path=Path("last.ckpt")) == batch_size
    assert order_of(content) == {"steps": 6, "batch_size": batch_size, "world_size": ranks, "seed": 0}


def test_rows_that_cannot_be_shared_evenly_name_the_numbers_that_can(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"16 rows a step, which 3 ranks cannot share.*can be 1, 2, 4, 8, 16$"):
        share_steps(state(), ranks=3, path=tmp_path)


def test_a_state_without_a_training_loader_is_left_as_it_is() -> None:
    assert share_steps({"epoch": 1}, ranks=3, path=Path("last.ckpt")) is None


def test_the_one_file_of_ddp_is_reshared_in_place(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint(state(), path)
    assert ranks_of(path) == 2
    assert reshard(path, ranks=4) == 4
    assert ranks_of(path) == 4
    assert order_of(read_checkpoint(path))["batch_size"] == 4
