from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_modules.checkpoint_io import read_checkpoint
from lightning_modules.classifier import CompletionClassifier
from nines.errors import CheckpointError
from tests.lightning_modules.small_classifier import (
    TINY,
    fitted_checkpoint,
    tiny_classifier,
)


def test_a_checkpoint_loads_without_any_configuration(tmp_path: Path) -> None:
    loss = {"_target_": "nines.losses.focal.FocalLoss", "gamma": 1.5}
    clipping = {"_target_": "nines.clipping.quantile.QuantileClipping"}
    module = tiny_classifier(loss=loss, clipping=clipping, optimizer={"lr": 0.01}, model={"head_hidden": 8})
    path = fitted_checkpoint(tmp_path, module)
    loaded = CompletionClassifier.load_from_checkpoint(path)
    assert (loaded.loss.gamma, loaded.optimizer_options.lr) == (1.5, 0.01)
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in module.state_dict().items())


def test_a_checkpoint_holds_tensors_and_plain_values_alone(tmp_path: Path) -> None:
    content = torch.load(fitted_checkpoint(tmp_path, tiny_classifier()), weights_only=True)
    assert content["hyper_parameters"]["model"] == TINY
    assert content["hyper_parameters"]["clipping"] == {"_target_": "nines.clipping.none.NoClipping"}


def test_frozen_parameters_stay_out_of_checkpoints_and_come_back_equal(tmp_path: Path) -> None:
    module = tiny_classifier(model={"freeze_layers": 2})
    path = fitted_checkpoint(tmp_path, module)
    saved, whole = read_checkpoint(path)["state_dict"], module.state_dict()
    frozen = {f"model.{name}" for name in module.model.frozen_parameter_names()}
    assert frozen
    assert saved.keys() == whole.keys() - frozen
    loaded = CompletionClassifier.load_from_checkpoint(path).state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in whole.items())


def test_training_leaves_frozen_parameters_alone_and_moves_all_others(tmp_path: Path) -> None:
    module = tiny_classifier(model={"freeze_layers": 2}, optimizer={"lr": 0.01, "warmup": 0.0})
    before = {name: value.clone() for name, value in module.model.named_parameters()}
    fitted_checkpoint(tmp_path, module)
    unmoved = {name for name, value in module.model.named_parameters() if torch.equal(value, before[name])}
    assert unmoved == set(module.model.frozen_parameter_names())


def test_frozen_layers_from_other_weights_are_refused(tmp_path: Path) -> None:
    content = read_checkpoint(fitted_checkpoint(tmp_path, tiny_classifier(model={"freeze_layers": 2})))
    content["source_fingerprint"] = "of other weights"
    with pytest.raises(CheckpointError, match=r"frozen layers.*tiny:bert.*module\.model\.source"):
        tiny_classifier(model={"freeze_layers": 2}).on_load_checkpoint(content)


@pytest.mark.parametrize(
    ("model", "named"),
    [
        ({"head_hidden": 8}, r"model\.head\.\S+ is (only here|\(1, 32\) in the checkpoint and \(1, 8\) here)"),
        ({"source": "tiny:modernbert"}, r"model\.encoder\.\S+ is only here; .* and \d+ more"),
    ],
)
def test_another_architecture_is_one_line_that_names_what_differs(
    tmp_path: Path, model: dict[str, Any], named: str
) -> None:
    content = read_checkpoint(fitted_checkpoint(tmp_path, tiny_classifier()))
    with pytest.raises(CheckpointError, match=named) as raised:
        tiny_classifier(model=model).on_load_checkpoint(content)
    assert "\n" not in str(raised.value)
