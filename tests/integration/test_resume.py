"""A run that was killed with -9 and started again ends with the same weights, to the bit, as one that was not."""

import os
import signal
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from lightning_modules.checkpoint_io import read_checkpoint
from nines.run_folder import RunFolder, RunStatus

SMALL = (
    "model=tiny",
    "trainer=cpu",
    "trainer.precision=32-true",
    "trainer.enable_progress_bar=false",
    "datamodule.limit_rows=96",
    "datamodule.batch_size=8",
    "dropout=hidden",
    "clipping=quantile",
    "callbacks=minimal",
    "callbacks.checkpoints.every_n_steps=1",
    "logger=none",
    "test=false",
    "threads=1",
)


class KillAt(L.Callback):
    """Kills its own process with SIGKILL at the end of the given batch, counted over the whole run."""

    def __init__(self, *, batch: int) -> None:
        self.batch = batch

    def on_train_batch_end(self, trainer: L.Trainer, *arguments: Any) -> None:
        if trainer.fit_loop.total_batch_idx + 1 == self.batch:
            os.kill(os.getpid(), signal.SIGKILL)


def run_in_child(folder: Path, overrides: list[str]) -> int:
    """Train in a forked process; its exit code, or minus the signal that killed it."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            from apps.config import compose
            from apps.training import train

            train(compose("train", overrides), folder=RunFolder(folder), overrides=overrides)
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def killing(batch: int) -> list[str]:
    return ["+callbacks.kill._target_=tests.integration.test_resume.KillAt", f"+callbacks.kill.batch={batch}"]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    checkpoint = read_checkpoint(RunFolder(folder).last)
    state = {f"state.{name}": value for name, value in checkpoint["state_dict"].items()}
    for index, moments in checkpoint["optimizer_states"][0]["state"].items():
        state |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in moments.items()}
    return state


CASES = {
    "mid_epoch": ([], (5, 17)),
    "at_the_epochs_end": ([], (12, 24)),
    "first_batch_of_an_epoch": ([], (13, 25)),
    "accumulation": (["trainer.accumulate_grad_batches=3"], (4, 9, 20)),
    "validation_within_the_epoch": (["trainer.val_check_interval=0.5"], (6, 7, 12, 19)),
    "frozen_layers": (["module.model.freeze_layers=1"], (5, 12)),
    "oversampling": (["imbalance=oversampling", "datamodule.mixture=4"], (3,)),
}


@pytest.mark.parametrize("case", CASES)
def test_killed_and_resumed_equals_uninterrupted_to_the_bit(tmp_path: Path, case: str) -> None:
    options, kills = CASES[case]
    overrides = [*SMALL, *options]
    assert run_in_child(tmp_path / "whole", overrides) == 0
    for batch in kills:
        assert run_in_child(tmp_path / "killed", [*overrides, *killing(batch)]) == -signal.SIGKILL
    assert run_in_child(tmp_path / "killed", overrides) == 0
    status = RunStatus.read(RunFolder(tmp_path / "killed"))
    assert status is not None
    assert status.state == "completed"
    expected, found = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert expected.keys() == found.keys()
    different = [name for name in expected if not torch.equal(expected[name], found[name])]
    assert different == []


def test_the_best_checkpoint_survives_a_kill(tmp_path: Path) -> None:
    overrides = [*SMALL, "trainer.max_epochs=2"]
    assert run_in_child(tmp_path / "whole", overrides) == 0
    assert run_in_child(tmp_path / "killed", [*overrides, *killing(20)]) == -signal.SIGKILL
    assert run_in_child(tmp_path / "killed", overrides) == 0
    best = [read_checkpoint(RunFolder(tmp_path / name).best) for name in ("whole", "killed")]
    assert best[0]["global_step"] == best[1]["global_step"]
    assert all(torch.equal(value, best[1]["state_dict"][name]) for name, value in best[0]["state_dict"].items())
