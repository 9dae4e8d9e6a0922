from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_modules.clipped_training import ClippedTraining
from nines.clipping.norm import NormClipping
from nines.errors import CapabilityError, ConfigError
from tests.lightning_modules.small_classifier import tiny_classifier, tiny_trainer

pytest.importorskip("deepspeed")
from lightning_modules.deepspeed import DeepSpeed

CLIPPING = "nines.clipping"


def with_strategy(folder: Path, strategy: DeepSpeed, clipping: str, **arguments: Any) -> Any:
    module = tiny_classifier(clipping={"_target_": f"{CLIPPING}.{clipping}", **arguments})
    trainer = tiny_trainer(folder)
    trainer._accelerator_connector.strategy = strategy
    module.trainer = trainer
    return module


@pytest.mark.parametrize(
    ("clipping", "options", "limit"),
    [("norm.NormClipping", {"max_norm": 0.25}, 0.25), ("none.NoClipping", {}, 0.0)],
)
def test_clipping_by_norm_is_handed_to_the_engine(
    tmp_path: Path, clipping: str, options: dict[str, Any], limit: float
) -> None:
    strategy = DeepSpeed(stage=2)
    with_strategy(tmp_path, strategy, clipping, **options).check_clipping()
    assert strategy.settings["gradient_clipping"] == limit


@pytest.mark.parametrize("clipping", ["value.ValueClipping", "adaptive.AdaptiveClipping", "quantile.QuantileClipping"])
def test_clipping_that_the_engine_cannot_do_is_refused_in_one_line(tmp_path: Path, clipping: str) -> None:
    module = with_strategy(tmp_path, DeepSpeed(stage=2), clipping)
    with pytest.raises(CapabilityError, match=rf"{clipping.split('.')[1]}.*clipping=norm") as raised:
        module.setup("fit")
    assert "\n" not in str(raised.value)


def test_at_stage_0_gradients_are_whole_and_any_clipping_works(tmp_path: Path) -> None:
    strategy = DeepSpeed(stage=0)
    with_strategy(tmp_path, strategy, "quantile.QuantileClipping").check_clipping()
    assert strategy.settings.get("gradient_clipping", 0.0) == 0.0


def test_lightnings_own_deepspeed_strategy_is_refused_in_favour_of_ours(tmp_path: Path) -> None:
    from lightning.pytorch.strategies import DeepSpeedStrategy

    strategy: Any = DeepSpeedStrategy(stage=2)
    with pytest.raises(CapabilityError, match="trainer=deepspeed_zero2"):
        with_strategy(tmp_path, strategy, "norm.NormClipping").check_clipping()


class Line(ClippedTraining):
    """One weight and one bias that any strategy may clip."""

    def __init__(self) -> None:
        super().__init__()
        self.line = torch.nn.Linear(1, 1)
        self.clipping = NormClipping(max_norm=1.0)


def test_a_module_clips_all_of_its_gradients_and_keeps_what_it_saw(tmp_path: Path) -> None:
    module = Line()
    module.trainer = tiny_trainer(tmp_path)
    module.line.weight.grad, module.line.bias.grad = torch.tensor([[3.0]]), torch.tensor([4.0])
    module.configure_gradient_clipping(torch.optim.SGD(module.parameters()))
    assert module.last_clip is not None
    assert (module.last_clip.norm, module.last_clip.threshold) == (5.0, 1.0)
    assert module.line.weight.grad.item() == pytest.approx(0.6, rel=1e-5)
    assert module.line.bias.grad.item() == pytest.approx(0.8, rel=1e-5)
    assert module.gradient_of(module.line.bias) is module.line.bias.grad


def test_lightnings_own_clipping_beside_ours_is_refused(tmp_path: Path) -> None:
    module = Line()
    module.trainer = tiny_trainer(tmp_path)
    with pytest.raises(ConfigError, match="clipping=…"):
        module.configure_gradient_clipping(torch.optim.SGD(module.parameters()), gradient_clip_val=1.0)
