"""Runs of several ranks whose checkpoints are shards: killed, resumed, put together, continued on other ranks."""

import importlib.util
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.utilities import rank_zero_only

from apps.cli import main
from lightning_modules.checkpoint_io import read_checkpoint
from lightning_modules.prediction import Predictor
from nines.checkpoint_folder import STATE, read_manifest
from nines.errors import CheckpointError
from nines.files import read_json
from nines.run_folder import RunFolder, RunStatus
from tests.distributed import run_ranks
from tests.lightning_modules.small_classifier import tiny_data
from tests.trainings import killing, train_small, weights

pytestmark = pytest.mark.slow

needs_deepspeed = pytest.mark.skipif(
    importlib.util.find_spec("deepspeed") is None,
    reason="deepspeed is missing: nines-lab[deepspeed]",
)
ZERO = [pytest.param(f"deepspeed_zero{stage}", marks=needs_deepspeed) for stage in (1, 2, 3)]
STRATEGIES = [*ZERO, "fsdp2"]

CASES = {
    "deepspeed_zero1": ["trainer.accumulate_grad_batches=2"],
    "deepspeed_zero2": ["trainer.val_check_interval=0.5"],
    "deepspeed_zero3": ["module.model.freeze_layers=1"],
    "fsdp2": ["module.model.freeze_layers=1", "module.model.trunk_cache=false"],
}


# Six batches make an epoch: within it, and right after its end.
KILLS = {"deepspeed_zero1": (4,), "deepspeed_zero2": (7,), "deepspeed_zero3": (4, 7), "fsdp2": (4, 7)}


class KeepScores(L.Callback):
    """Keeps the scores of the last validation of a run."""

    def on_validation_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        if trainer.is_global_zero:
            np.save(Path(trainer.default_root_dir) / "valid.npy", pl_module.gathered_scores("valid"))


def options_for(trainer: str, *, ranks: int = 2) -> list[str]:
    return [
        f"trainer={trainer}",
        "trainer.accelerator=cpu",
        f"trainer.devices={ranks}",
        "trainer.precision=32-true",
        "trainer.enable_progress_bar=false",
        "clipping=none",
        "trainer.max_epochs=2",
    ]


def train(folder: Path, overrides: Sequence[str], *, ranks: int = 2) -> list[int]:
    def task(rank: int) -> int:
        rank_zero_only.rank = rank  # a fresh process reads it from the environment while it imports Lightning
        try:
            train_small(folder, overrides)
        except CheckpointError as error:
            (folder / f"refused_{rank}").write_text(str(error))
            return error.exit_code
        return 0

    return run_ranks(task, ranks=ranks)


def refusal(folder: Path, overrides: Sequence[str], *, ranks: int = 2) -> str:
    """What a run says that does not start, after the check that each rank leaves with 2 and one line."""
    codes = train(folder, overrides, ranks=ranks)
    said = sorted(folder.glob("refused_*"))
    assert said, codes
    text = said[0].read_text()
    assert "\n" not in text
    for file in said:
        file.unlink()
    return text


@pytest.fixture(scope="module", params=STRATEGIES)
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Path]:
    """A strategy, its uninterrupted run, and its run that was killed in an epoch and right after one."""
    trainer: str = request.param
    base = tmp_path_factory.mktemp(trainer)
    keep = f"+callbacks.scores._target_={__name__}.KeepScores"
    overrides = [*options_for(trainer), *CASES[trainer], keep]
    assert train(base / "whole", overrides) == [0, 0]
    for batch in KILLS[trainer]:
        codes = train(base / "killed", [*overrides, *killing(batch)])
        assert -signal.SIGKILL in codes
    assert train(base / "killed", overrides) == [0, 0]
    return trainer, base / "whole", base / "killed"


def whole_weights(checkpoint: Path, output: Path) -> dict[str, torch.Tensor]:
    assert main(["checkpoint", "consolidate", str(checkpoint), "--output", str(output)]) == 0
    weights: dict[str, torch.Tensor] = read_checkpoint(output)["state_dict"]
    return weights


def test_killed_and_resumed_on_the_same_ranks_equals_uninterrupted_to_the_bit(
    finished: tuple[str, Path, Path], tmp_path: Path
) -> None:
    _, whole, killed = finished
    for name in ("last", "best"):
        paths = [getattr(RunFolder(folder), name) for folder in (whole, killed)]
        expected, found = (whole_weights(path, tmp_path / f"{index}_{name}") for index, path in enumerate(paths))
        assert expected.keys() == found.keys()
        assert [key for key in expected if not torch.equal(expected[key], found[key])] == []
        states = [read_checkpoint(path / STATE) for path in paths]
        for key in ("epoch", "global_step", "lr_schedulers", "callbacks", "shapes"):
            assert states[0][key] == states[1][key], key
    assert read_json(RunFolder(whole).metrics) == read_json(RunFolder(killed).metrics)
    status = RunStatus.read(RunFolder(killed))
    assert status is not None
    assert status.state == "completed"


def test_one_file_of_the_shards_predicts_what_the_run_validated(finished: tuple[str, Path, Path]) -> None:
    """Both in float32; single pairs share no batch with what they shared one with in training, so not to the bit."""
    trainer, whole, _ = finished
    with pytest.raises(CheckpointError, match=f"shards of {trainer}.*: nines checkpoint consolidate {whole}$"):
        Predictor.load(whole)
    assert main(["checkpoint", "consolidate", str(whole)]) == 0
    data = tiny_data(rows=96)
    data.setup("validate")
    scores = Predictor.load(whole).scores(data.texts("valid"))
    np.testing.assert_allclose(scores, np.load(whole / "valid.npy"), atol=1e-6)


def test_frozen_layers_are_left_out_and_come_back_from_their_source(finished: tuple[str, Path, Path]) -> None:
    trainer, whole, _ = finished
    shapes = read_checkpoint(RunFolder(whole).last / STATE)["shapes"]
    of_first_layer = [name for name in shapes if ".layer.0." in name]
    assert bool(of_first_layer) == ("module.model.freeze_layers=1" not in CASES[trainer])


def test_shards_of_another_strategy_or_number_of_ranks_are_refused_with_what_helps(
    finished: tuple[str, Path, Path], tmp_path: Path
) -> None:
    trainer, whole, _ = finished
    run = tmp_path / "run"
    shutil.copytree(whole, run, symlinks=True)
    last = RunFolder(run).last
    other = "fsdp2" if trainer != "fsdp2" else "ddp"
    said = refusal(run, [*options_for(other), *CASES[trainer]])
    assert str(last) in said
    assert f"trainer={trainer}" in said
    said = refusal(run, [*options_for(trainer, ranks=1), *CASES[trainer]], ranks=1)
    assert said.endswith(f"run: nines checkpoint reshard {last} --ranks 1")


@needs_deepspeed
def test_the_checkpoint_of_one_process_is_refused_by_a_strategy_that_shards(tmp_path: Path) -> None:
    train_small(tmp_path, ["clipping=none", "trainer.max_epochs=1"])
    said = refusal(tmp_path, options_for("deepspeed_zero2"))
    assert "last.ckpt is the checkpoint of one process or of ddp" in said
    assert "resume with the trainer that wrote it" in said


SAME_STEPS = [
    "dropout=none",
    "datamodule.bucket_steps=1",
    "datamodule.drop_last=true",
    "module.optimizer.layer_decay=0.5",
]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One process, without any sharding, that takes the steps of several ranks."""
    folder = tmp_path_factory.mktemp("reference")
    train_small(folder, ["clipping=none", "trainer.max_epochs=2", "datamodule.batch_size=16", *SAME_STEPS])
    return folder


@pytest.mark.parametrize(
    ("trainer", "before", "after"),
    [
        pytest.param("deepspeed_zero2", 1, 2, marks=needs_deepspeed),
        pytest.param("deepspeed_zero2", 2, 1, marks=needs_deepspeed),
        pytest.param("deepspeed_zero3", 1, 2, marks=needs_deepspeed),
        pytest.param("deepspeed_zero3", 2, 1, marks=needs_deepspeed),
        ("fsdp2", 2, 1),
    ],
)
def test_a_run_goes_on_within_an_epoch_on_another_number_of_ranks(
    reference: Path, tmp_path: Path, trainer: str, before: int, after: int
) -> None:
    """Sums over other shares round otherwise: below 1e-6, where a wrong rate or step count leaves 1e-5."""

    def on(ranks: int) -> list[str]:
        return [*options_for(trainer, ranks=ranks), *SAME_STEPS, f"datamodule.batch_size={16 // ranks}"]

    run = tmp_path / "run"
    assert -signal.SIGKILL in train(run, [*on(before), *killing(9)], ranks=before)
    assert main(["checkpoint", "reshard", str(run), "--ranks", str(after)]) == 0
    assert read_manifest(RunFolder(run).last).ranks == after
    assert train(run, on(after), ranks=after) == [0] * after
    found = whole_weights(RunFolder(run).last, tmp_path / "file")
    expected = weights(reference)
    for name, value in found.items():
        torch.testing.assert_close(value, expected[f"state.{name}"], atol=1e-6, rtol=0.0, msg=name)
