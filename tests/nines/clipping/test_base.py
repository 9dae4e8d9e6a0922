"""What must hold for every clipping strategy, non-finite gradients included."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from nines.clipping.adaptive import AdaptiveClipping
from nines.clipping.base import GradientClipping, global_norm, gradients_of
from nines.clipping.none import NoClipping
from nines.clipping.norm import NormClipping
from nines.clipping.quantile import QuantileClipping
from nines.clipping.value import ValueClipping

STRATEGIES: dict[str, Callable[[], GradientClipping]] = {
    "none": NoClipping,
    "norm": lambda: NormClipping(max_norm=0.5),
    "value": lambda: ValueClipping(max_value=0.02),
    "adaptive": lambda: AdaptiveClipping(clip_factor=0.1),
    "quantile": lambda: QuantileClipping(percentile=20.0, window=5, warmup_steps=2),
}
every_strategy = pytest.mark.parametrize("name", STRATEGIES)
every_clipping_strategy = pytest.mark.parametrize("name", [name for name in STRATEGIES if name != "none"])


def model_with_gradients(*, seed: int = 0, size: float = 1.0) -> nn.Module:
    """An embedding, a matrix with bias, a convolution and a head, each with a random gradient."""
    torch.manual_seed(seed)
    model = nn.ModuleDict(
        {"embedding": nn.Embedding(5, 4), "layer": nn.Linear(4, 3), "conv": nn.Conv1d(2, 3, 2), "head": nn.Linear(3, 1)}
    )
    for parameter in model.parameters():
        parameter.grad = size * torch.randn_like(parameter)
    return model


def named(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return list(model.named_parameters())


@every_strategy
def test_reported_norm_is_that_before_clipping(name: str) -> None:
    model = model_with_gradients()
    everything = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
    assert STRATEGIES[name]().clip(named(model)).norm == pytest.approx(everything.norm().item(), rel=1e-6)


@every_strategy
def test_no_element_grows_or_changes_its_sign(name: str) -> None:
    strategy = STRATEGIES[name]()
    for seed in range(4):
        model = model_with_gradients(seed=seed, size=10.0**seed)
        before = [parameter.grad.clone() for parameter in model.parameters()]
        strategy.clip(named(model))
        for gradient, parameter in zip(before, model.parameters(), strict=True):
            assert (parameter.grad.abs() <= gradient.abs()).all()
            assert (parameter.grad * gradient >= 0).all()


@every_strategy
def test_tiny_gradients_stay_to_the_bit(name: str) -> None:
    model = model_with_gradients(size=1e-7)
    before = [parameter.grad.clone() for parameter in model.parameters()]
    result = STRATEGIES[name]().clip(named(model))
    assert result.clipped_share == 0
    assert all(torch.equal(a, p.grad) for a, p in zip(before, model.parameters(), strict=True))


@every_clipping_strategy
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_step_that_is_not_finite_changes_neither_weights_nor_moments(name: str, bad: float) -> None:
    model = model_with_gradients()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
    optimizer.step()
    weights = [parameter.detach().clone() for parameter in model.parameters()]
    moments = [optimizer.state[parameter]["exp_avg"].clone() for parameter in model.parameters()]
    model["layer"].weight.grad[1, 2] = bad
    result = STRATEGIES[name]().clip(named(model))
    optimizer.step()
    assert result.norm == math.inf
    assert not result.finite
    assert result.clipped_share == 1.0
    for weight, moment, parameter in zip(weights, moments, model.parameters(), strict=True):
        assert torch.equal(weight, parameter)
        assert torch.equal(moment, optimizer.state[parameter]["exp_avg"])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_without_clipping_a_step_that_is_not_finite_passes_but_is_reported(bad: float) -> None:
    model = model_with_gradients()
    model["layer"].bias.grad[0] = bad
    result = NoClipping().clip(named(model))
    assert result.norm == math.inf
    assert result.clipped_share == 0.0
    assert model["layer"].bias.grad is not None


@every_strategy
def test_parameters_without_gradient_are_passed_over(name: str) -> None:
    model = model_with_gradients()
    model["conv"].weight.grad = None
    result = STRATEGIES[name]().clip(named(model))
    assert math.isfinite(result.norm)
    assert model["conv"].weight.grad is None


@every_strategy
def test_no_gradients_at_all_have_norm_zero(name: str) -> None:
    result = STRATEGIES[name]().clip(named(nn.Linear(2, 2)))
    assert (result.norm, result.clipped_share) == (0.0, 0.0)


@every_strategy
def test_bf16_gradients_keep_their_type(name: str) -> None:
    model = model_with_gradients().bfloat16()
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    result = STRATEGIES[name]().clip(named(model))
    assert math.isfinite(result.norm)
    assert all(parameter.grad.dtype == torch.bfloat16 for parameter in model.parameters())


@every_strategy
def test_a_checkpoint_continues_to_the_bit(name: str) -> None:
    whole, first = STRATEGIES[name](), STRATEGIES[name]()
    for step in range(4):
        for strategy in (whole, first):
            strategy.clip(named(model_with_gradients(seed=step)))
    second = STRATEGIES[name]()
    second.load_state_dict(first.state_dict())
    for step in range(4, 9):
        models = model_with_gradients(seed=step), model_with_gradients(seed=step)
        assert whole.clip(named(models[0])) == second.clip(named(models[1]))
        assert all(torch.equal(a.grad, b.grad) for a, b in zip(*(m.parameters() for m in models), strict=True))


def test_only_what_works_on_sharded_gradients_says_so() -> None:
    assert {name for name in STRATEGIES if STRATEGIES[name]().supports_sharded_gradients} == {"none", "norm"}


def test_native_names_lightnings_algorithm_and_limit() -> None:
    natives = {name: STRATEGIES[name]().native for name in STRATEGIES}
    assert natives == {
        "none": None, "norm": ("norm", 0.5), "value": ("value", 0.02), "adaptive": None, "quantile": None
    }  # fmt: skip


def test_global_norm_of_nothing_is_zero() -> None:
    assert global_norm(gradients_of([]))[1] == 0.0


def test_sharded_gradients_have_the_norm_of_the_whole(tmp_path: Path) -> None:
    """One process suffices to see that a DTensor's norm is reduced over its mesh instead of taken from the shard."""
    distributed.init_process_group(
        "gloo", store=distributed.FileStore(str(tmp_path / "store"), 1), rank=0, world_size=1
    )
    try:
        mesh = init_device_mesh("cpu", (1,))
        whole = torch.randn(6, 4)
        parameter = nn.Parameter(distribute_tensor(torch.zeros(6, 4), mesh, [Shard(0)]))
        parameter.grad = distribute_tensor(whole, mesh, [Shard(0)])
        result = NormClipping(max_norm=0.5).clip([("weight", parameter)])
        assert result.norm == pytest.approx(whole.norm().item(), rel=1e-6)
        assert parameter.grad.full_tensor().norm().item() == pytest.approx(0.5, rel=1e-5)
    finally:
        distributed.destroy_process_group()
