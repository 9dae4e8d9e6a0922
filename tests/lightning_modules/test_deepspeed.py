"""The strategy alone: what it refuses, what it hands to the engine. tests/integration/ compares its figures."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from nines.errors import CapabilityError, ConfigError

pytest.importorskip("deepspeed")
from lightning_modules.deepspeed import DeepSpeed


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"stage": 4}, "stage must be 0, 1, 2 or 3, got 4"),
        ({"stage": 2, "offload_parameters": True}, "offload_parameters needs stage=3"),
        ({"stage": 0, "offload_optimizer": True}, "offload_optimizer needs stage=1"),
        ({"config": {"zero_optimization": {"stage": 1}}}, "config would replace every other option"),
    ],
)
def test_options_that_contradict_each_other_are_refused_in_one_line(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as raised:
        DeepSpeed(**options)
    assert "\n" not in str(raised.value)


def test_offloading_steps_by_torch_and_needs_no_compiler() -> None:
    strategy = DeepSpeed(stage=3, offload_optimizer=True, offload_parameters=True)
    assert strategy.settings["zero_force_ds_cpu_optimizer"] is False
    assert strategy.settings["zero_optimization"]["offload_optimizer"]["device"] == "cpu"
    assert strategy.settings["zero_optimization"]["offload_param"]["device"] == "cpu"


def test_a_machine_without_deepspeed_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    with pytest.raises(CapabilityError, match=r"pip install 'nines-lab\[deepspeed\]'"):
        DeepSpeed()


def test_training_without_deepspeed_never_imports_it(tmp_path: Path) -> None:
    """In a fresh process where the import fails."""
    code = (
        "import sys; sys.modules['deepspeed'] = None\n"
        "from tests.lightning_modules.small_classifier import *\n"
        "from pathlib import Path\n"
        f"print(fitted_checkpoint(Path({str(tmp_path)!r}), tiny_classifier()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "fitted.ckpt").is_file()


@pytest.mark.parametrize(
    ("norm", "overflow", "seen"),
    [
        (2.0, False, (2.0, 1.0, 0.5)),
        (0.4, False, (0.4, 0.0, 0.5)),
        (0.4, True, (float("inf"), 1.0, 0.5)),
        (float("inf"), True, (float("inf"), 1.0, 0.5)),
    ],
)
def test_what_the_engine_saw_is_told_as_our_own_clipping_tells_it(
    norm: float, overflow: bool, seen: tuple[float, float, float]
) -> None:
    class Optimizer:
        pass

    class Engine:
        optimizer: Any = Optimizer()

        def get_global_grad_norm(self) -> float:
            return norm

    strategy = DeepSpeed(stage=2)
    strategy.clip_by_norm(0.5)
    strategy.model = Engine()  # type: ignore[assignment]
    Engine.optimizer.overflow = overflow
    found = strategy.last_clip()
    assert found is not None
    assert (found.norm, found.clipped_share, found.threshold) == seen


def test_row_weights_and_targets_keep_their_precision() -> None:
    from lightning.pytorch.plugins.precision import DeepSpeedPrecision

    strategy = DeepSpeed(stage=2)
    strategy.precision_plugin = DeepSpeedPrecision("bf16-mixed")
    batch = {"weight": torch.tensor([1 / 3]), "hidden_states": torch.ones(1, 1, 1, dtype=torch.bfloat16)}
    found = strategy.precision_plugin.convert_input(batch)
    assert {name: value.dtype for name, value in found.items()} == {
        "weight": torch.float32,
        "hidden_states": torch.bfloat16,
    }
    assert strategy.precision_plugin.precision == "bf16-mixed"


def test_weight_decay_knows_a_matrix_by_its_whole_shape() -> None:
    """Under ZeRO-3 a parameter looks like an empty vector, and keeps its shape as `ds_shape`."""
    from lightning_modules.optimizers import OptimizerOptions, build_optimizer

    matrix = nn.Parameter(torch.zeros(0))
    matrix.ds_shape = torch.Size([3, 2])
    optimizer = build_optimizer(
        [("head.weight", matrix), ("head.bias", nn.Parameter(torch.zeros(2)))],
        OptimizerOptions(weight_decay=0.1),
        depth_of=lambda name: 1,
        head_depth=1,
    )
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.0, 0.1]
    assert optimizer.param_groups[1]["params"][0] is matrix
