"""Sharded checkpoints of a training in bf16, in which the engine computes with rounded copies of its weights."""

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch

from apps.cli import main
from lightning_modules.checkpoint_io import read_checkpoint
from lightning_modules.prediction import Predictor
from nines.checkpoint_folder import read_manifest
from nines.run_folder import RunFolder
from tests.integration.test_sharded_checkpoints import KeepScores, options_for, train
from tests.lightning_modules.small_classifier import tiny_data

pytestmark = pytest.mark.slow


class KeepMasters(L.Callback):
    """Keeps the float32 weights by which the optimizer stepped last, put together from all ranks."""

    def on_train_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        from deepspeed.utils import safe_get_full_fp32_param

        trained = {name: value for name, value in pl_module.named_parameters() if value.requires_grad}
        masters = {name: safe_get_full_fp32_param(value).detach().cpu().clone() for name, value in trained.items()}
        if trainer.is_global_zero:
            torch.save(masters, Path(trainer.default_root_dir) / "masters.pt")


@pytest.mark.parametrize("trainer", ["deepspeed_zero2", "deepspeed_zero3"])
def test_one_file_holds_the_float32_weights_of_the_optimizer_and_no_frozen_ones(tmp_path: Path, trainer: str) -> None:
    pytest.importorskip("deepspeed")
    kept = [
        f"+callbacks.{kind.__name__.lower()}._target_={kind.__module__}.{kind.__name__}"
        for kind in (KeepMasters, KeepScores)
    ]
    run = RunFolder(tmp_path / "run")
    precision = ["trainer.precision=bf16-mixed", "module.model.freeze_layers=1", "trainer.max_epochs=1"]
    assert train(run.path, [*options_for(trainer), *precision, *kept]) == [0, 0]
    assert read_manifest(run.last).precision == "bf16-mixed"
    assert main(["checkpoint", "consolidate", str(run.last), "--output", str(tmp_path / "whole.ckpt")]) == 0
    masters = torch.load(run.path / "masters.pt")
    weights = read_checkpoint(tmp_path / "whole.ckpt")["state_dict"]
    for name, master in masters.items():
        assert weights[name].dtype == torch.float32
        torch.testing.assert_close(weights[name], master, atol=0, rtol=0, msg=name)
    rounded = [name for name, master in masters.items() if torch.equal(master, master.bfloat16().float())]
    assert len(rounded) < 0.2 * len(masters), "the weights that the engine computes with would have passed as well"
    assert not [name for name in weights if ".layer.0." in name or ".embeddings." in name]
    # What the run validated its best weights with, which the one file has again.
    assert main(["checkpoint", "consolidate", str(run.best), "--output", str(tmp_path / "best.ckpt")]) == 0
    data = tiny_data(rows=96)
    data.setup("validate")
    scores = Predictor.load(tmp_path / "best.ckpt").scores(data.texts("valid"))
    np.testing.assert_allclose(scores, np.load(run.path / "valid.npy"), atol=1e-2)
