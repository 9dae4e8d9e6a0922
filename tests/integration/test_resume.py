"""A run that was killed with -9 and started again ends with the same weights, to the bit, as one that was not."""

import signal
from pathlib import Path

import pytest
import torch

from lightning_modules.checkpoint_io import read_checkpoint
from nines.run_folder import RunFolder, RunStatus
from tests.trainings import assert_same_to_the_bit, killing, run_in_child

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
    assert run_in_child(tmp_path / "whole", options) == 0
    for batch in kills:
        assert run_in_child(tmp_path / "killed", [*options, *killing(batch)]) == -signal.SIGKILL
    assert run_in_child(tmp_path / "killed", options) == 0
    status = RunStatus.read(RunFolder(tmp_path / "killed"))
    assert status is not None
    assert status.state == "completed"
    assert_same_to_the_bit(tmp_path / "whole", tmp_path / "killed")


def test_the_best_checkpoint_survives_a_kill(tmp_path: Path) -> None:
    overrides = ["trainer.max_epochs=2"]
    assert run_in_child(tmp_path / "whole", overrides) == 0
    assert run_in_child(tmp_path / "killed", [*overrides, *killing(20)]) == -signal.SIGKILL
    assert run_in_child(tmp_path / "killed", overrides) == 0
    best = [read_checkpoint(RunFolder(tmp_path / name).best) for name in ("whole", "killed")]
    assert best[0]["global_step"] == best[1]["global_step"]
    assert all(torch.equal(value, best[1]["state_dict"][name]) for name, value in best[0]["state_dict"].items())
