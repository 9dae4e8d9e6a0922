import os
import resource
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.utilities import rank_zero_only

from lightning_modules.sharded_checkpoints import check_resumable, check_shapes, open_sharded, whole_shapes
from nines.checkpoint_folder import MANIFEST, Manifest, clear_unpublished, read_manifest
from nines.errors import CheckpointError, StorageError
from tests.distributed import run_ranks
from tests.lightning_modules.small_classifier import tiny_classifier, tiny_data, tiny_trainer


def manifest(**changes: Any) -> Manifest:
    plain: dict[str, Any] = {
        "identity": "0" * 8,
        "strategy": "deepspeed",
        "zero_stage": 2,
        "ranks": 2,
        "step": 3,
        "epoch": 0,
        "architecture": "tiny:bert",
        "precision": "32-true",
        "files": {},
    }
    return Manifest(**{**plain, **changes})


def test_the_same_strategy_on_the_same_ranks_is_taken() -> None:
    check_resumable(manifest(), Path("last.ckpt"), name="deepspeed", zero_stage=2, ranks=2)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"zero_stage": 3}, "last.ckpt was written under deepspeed_zero3.*resume with trainer=deepspeed_zero3"),
        ({"strategy": "fsdp2", "zero_stage": None}, "under fsdp2, and this run is under deepspeed_zero2"),
        ({"ranks": 8}, "for 8 ranks and this run has 2; run: nines checkpoint reshard last.ckpt --ranks 2"),
    ],
)
def test_every_other_one_is_refused_with_the_command_that_helps(found: dict[str, Any], said: str) -> None:
    with pytest.raises(CheckpointError, match=said) as caught:
        check_resumable(manifest(**found), Path("last.ckpt"), name="deepspeed", zero_stage=2, ranks=2)
    assert "\n" not in str(caught.value)


def test_another_architecture_is_refused_before_a_shard_is_read() -> None:
    module = tiny_classifier()
    state = {"shapes": {name: list(value.shape) for name, value in module.state_dict().items()}}
    check_shapes(state, module, Path("last.ckpt"))
    name = next(iter(module.model.state_dict()))
    state["shapes"][f"model.{name}"] = [7]
    with pytest.raises(CheckpointError, match=r"last.ckpt is of another architecture: .* is \(7,\) in the checkpoint"):
        check_shapes(state, module, Path("last.ckpt"))


def test_frozen_parameters_may_be_missing_and_trained_ones_not() -> None:
    module = tiny_classifier(model={"freeze_layers": 1})
    frozen = {f"model.{name}" for name in module.model.frozen_parameter_names()}
    shapes = {name: list(value.shape) for name, value in module.state_dict().items() if name not in frozen}
    check_shapes({"shapes": shapes}, module, Path("last.ckpt"))
    shapes.pop(next(name for name in shapes if name.startswith("model.head")))
    with pytest.raises(CheckpointError, match="is only here"):
        check_shapes({"shapes": shapes}, module, Path("last.ckpt"))


def test_a_parameter_that_is_shared_out_has_the_shape_of_all_its_shares() -> None:
    layer = torch.nn.Linear(3, 2)
    layer.weight.ds_shape = torch.Size((2, 3))  # as DeepSpeed keeps it
    layer.weight.data = torch.empty(0)
    assert whole_shapes(layer, layer.state_dict()) == {"weight": torch.Size((2, 3)), "bias": torch.Size((2,))}


def test_a_missing_checkpoint_and_one_of_a_single_process_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint at"), open_sharded(tmp_path / "last.ckpt"):
        pass
    (tmp_path / "last.ckpt").write_text("one file")
    with pytest.raises(CheckpointError, match="of one process or of ddp"), open_sharded(tmp_path / "last.ckpt"):
        pass


def strategy(name: str) -> Any:
    if name == "fsdp2":
        from lightning_modules.fsdp import FullySharded

        return FullySharded()
    from lightning_modules.deepspeed import DeepSpeed

    return DeepSpeed(stage=int(name[-1]))


def save_twice(folder: Path, name: str, before_second: Any) -> list[int]:
    """Train a step on two ranks and save, go on and save again after `before_second(rank)`; the exit codes."""

    def task(rank: int) -> int:
        rank_zero_only.rank = rank
        trainer = tiny_trainer(
            folder, devices=2, strategy=strategy(name), max_steps=1, limit_val_batches=0, precision="32-true"
        )
        trainer.fit(tiny_classifier(), datamodule=tiny_data())
        trainer.save_checkpoint(folder / "last.ckpt")
        before_second(rank)
        try:
            trainer.save_checkpoint(folder / "last.ckpt")
        except StorageError as error:
            return 42 if "\n" not in str(error) and "last.ckpt" in str(error) and "untouched" in str(error) else 1
        return 0

    return run_ranks(task)


def fill_the_disk(of_rank: int) -> Any:
    """The kernel refuses that rank to write beyond a file size, as it does on a full disk."""

    def limit(rank: int) -> None:
        if rank == of_rank:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))

    return limit


def kill_while_writing(of_rank: int) -> Any:
    def replace(rank: int) -> None:
        if rank == of_rank:
            torch.save = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]

    return replace


@pytest.mark.slow
@pytest.mark.parametrize(("name", "rank"), [("deepspeed_zero3", 1), ("deepspeed_zero2", 0), ("fsdp2", 1)])
def test_a_disk_that_is_full_for_one_rank_ends_all_in_one_line_and_keeps_the_former_checkpoint(
    tmp_path: Path, name: str, rank: int
) -> None:
    if name != "fsdp2":
        pytest.importorskip("deepspeed")
    assert save_twice(tmp_path, name, fill_the_disk(rank)) == [42, 42]
    assert read_manifest(tmp_path / "last.ckpt").step == 1
    assert len(list(tmp_path.glob(".last-*"))) == 1


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_killed_while_it_writes_leaves_the_former_checkpoint(tmp_path: Path, rank: int) -> None:
    pytest.importorskip("deepspeed")
    assert save_twice(tmp_path, "deepspeed_zero2", kill_while_writing(rank))[rank] == -signal.SIGKILL
    assert read_manifest(tmp_path / "last.ckpt").step == 1
    left = [path for path in tmp_path.glob(".last-*") if not (path / MANIFEST).exists()]
    assert len(left) == 1
    clear_unpublished(tmp_path)
    assert not left[0].exists()
    assert read_manifest(tmp_path / "last.ckpt").step == 1
