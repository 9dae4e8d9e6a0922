"""Adaptive clipping against a loop over units, and by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nines.clipping.adaptive import AdaptiveClipping, unit_norms
from nines.errors import ConfigError


def clipped_by_hand(weight: Tensor, gradient: Tensor, *, clip_factor: float, epsilon: float) -> tuple[Tensor, int, int]:
    """Brock et al. 2021, eq. 3, one unit after the other: new gradient, units clipped, units."""
    units = [(weight, gradient)] if weight.ndim < 2 else list(zip(weight, gradient, strict=True))
    parts, clipped = [], 0
    for w, g in units:
        limit = clip_factor * max(math.sqrt(float((w**2).sum())), epsilon)
        length = math.sqrt(float((g**2).sum()))
        clipped += length > limit
        parts.append(g * (limit / length) if length > limit else g.clone())
    return (parts[0] if weight.ndim < 2 else torch.stack(parts)), clipped, len(units)


@pytest.mark.parametrize("clip_factor", [0.01, 0.5, 3.0])
def test_equals_a_loop_over_units_and_counts_those_clipped(clip_factor: float) -> None:
    torch.manual_seed(0)
    model = nn.ModuleDict({"embedding": nn.Embedding(6, 4), "conv": nn.Conv2d(3, 5, 2), "layer": nn.Linear(4, 3)})
    nn.init.zeros_(model["layer"].bias)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    expected, clipped, units = [], 0, 0
    for parameter in model.parameters():
        gradient, of_parameter, count = clipped_by_hand(
            parameter.detach(), parameter.grad, clip_factor=clip_factor, epsilon=1e-3
        )
        expected.append(gradient)
        clipped += of_parameter
        units += count
    result = AdaptiveClipping(clip_factor=clip_factor, epsilon=1e-3).clip(list(model.named_parameters()))
    for gradient, parameter in zip(expected, model.parameters(), strict=True):
        assert torch.allclose(parameter.grad, gradient, rtol=1e-5)
    assert result.clipped_share == pytest.approx(clipped / units)
    assert units == 6 + 5 + 1 + 3 + 1


def test_one_row_worked_by_hand() -> None:
    parameter = nn.Parameter(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))  # lengths 5 and, assumed, 0.1
    parameter.grad = torch.tensor([[0.0, 2.0], [0.3, 0.4]])  # lengths 2 and 0.5; allowed 1 and 0.02
    result = AdaptiveClipping(clip_factor=0.2, epsilon=0.1).clip([("weight", parameter)])
    assert parameter.grad.flatten().tolist() == pytest.approx([0.0, 1.0, 0.012, 0.016], rel=1e-6)
    assert result.clipped_share == 1.0
    assert result.norm == pytest.approx(math.sqrt(4.25))


def test_excluded_parameters_are_left_alone_but_enter_the_norm() -> None:
    model = nn.ModuleDict({"layer": nn.Linear(3, 2), "head": nn.Linear(2, 1)})
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 7.0)
    result = AdaptiveClipping(clip_factor=1e-4, exclude=["head"]).clip(list(model.named_parameters()))
    assert (model["head"].weight.grad == 7.0).all()
    assert (model["layer"].weight.grad.abs() < 7.0).all()
    assert result.norm == pytest.approx(7.0 * math.sqrt(6 + 2 + 2 + 1))
    assert result.clipped_share == 1.0


def test_excluding_everything_clips_nothing() -> None:
    parameter = nn.Parameter(torch.ones(3))
    parameter.grad = torch.ones(3)
    assert AdaptiveClipping(exclude=["head"]).clip([("head.bias", parameter)]).clipped_share == 0.0


def test_zero_gradients_stay_zero() -> None:
    parameter = nn.Parameter(torch.zeros(2, 3))
    parameter.grad = torch.zeros(2, 3)
    result = AdaptiveClipping().clip([("weight", parameter)])
    assert torch.equal(parameter.grad, torch.zeros(2, 3))
    assert (result.norm, result.clipped_share) == (0.0, 0.0)


def test_unit_norms_broadcast_against_their_tensor() -> None:
    assert unit_norms(torch.ones(4, 9)).shape == (4, 1)
    assert unit_norms(torch.ones(4, 3, 3)).flatten().tolist() == pytest.approx([3.0] * 4)
    assert unit_norms(torch.ones(16)).item() == 4.0
    assert unit_norms(torch.tensor(-2.0)).item() == 2.0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"clip_factor": 0.0}, "clip_factor must be above 0"),
        ({"clip_factor": math.nan}, "clip_factor must be above 0"),
        ({"epsilon": 0.0}, "never move"),
        ({"exclude": "head"}, "list of name prefixes"),
        ({"exclude": [""]}, "none of them empty"),
    ],
)
def test_values_out_of_range_are_refused(arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        AdaptiveClipping(**arguments)
