from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.strategies import SingleDeviceStrategy

from lightning_modules import pair_module
from lightning_modules.fsdp import FullySharded
from tests.lightning_modules.small_classifier import tiny_classifier, tiny_data, tiny_trainer


class Elsewhere(FullySharded):
    """Shares out on another device than the CPU."""

    @property
    def root_device(self) -> torch.device:
        return torch.device("meta")


@pytest.mark.parametrize(("shares_out", "device"), [(False, "meta"), (True, "cpu")])
def test_frozen_layers_compute_where_the_model_trains_unless_that_holds_a_share_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shares_out: bool, device: str
) -> None:
    """Before Lightning has moved the model. The device without memory stands for a GPU."""
    seen: list[str] = []

    def note(model: torch.nn.Module, *_: Any, **__: Any) -> None:
        seen.extend({parameter.device.type for parameter in model.parameters()})

    monkeypatch.setattr(pair_module, "use_trunk_cache", note)
    module, data = tiny_classifier(model={"freeze_layers": 1}), tiny_data()
    runs: Any = tiny_trainer(tmp_path)
    runs._accelerator_connector.strategy = Elsewhere() if shares_out else SingleDeviceStrategy(device="meta")
    runs.datamodule = data
    module.trainer = runs
    data.setup("validate")
    module.setup("validate")
    assert seen == [device]
