"""Clipping by value against torch's clamp, and the share of elements by counting."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from nines.clipping.value import ValueClipping
from nines.errors import ConfigError


def test_equals_clamping_and_counts_the_elements_beyond_the_limit() -> None:
    model = nn.Sequential(nn.Linear(9, 8), nn.Linear(8, 2))
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    before = [parameter.grad.clone() for parameter in model.parameters()]
    result = ValueClipping(max_value=0.7).clip(list(model.named_parameters()))
    for gradient, parameter in zip(before, model.parameters(), strict=True):
        assert torch.equal(parameter.grad, gradient.clamp(-0.7, 0.7))
    beyond = sum(int((gradient.abs() > 0.7).sum()) for gradient in before)
    assert 0 < result.clipped_share == pytest.approx(beyond / sum(gradient.numel() for gradient in before))


def test_a_long_gradient_of_small_elements_is_not_clipped() -> None:
    parameter = nn.Parameter(torch.zeros(10_000))
    parameter.grad = torch.full((10_000,), 0.5)
    result = ValueClipping(max_value=0.5).clip([("weight", parameter)])
    assert result.norm == pytest.approx(50.0)
    assert result.clipped_share == 0.0


def test_empty_parameters_do_no_harm() -> None:
    parameters = nn.Parameter(torch.zeros(0)), nn.Parameter(torch.zeros(2))
    parameters[0].grad, parameters[1].grad = torch.zeros(0), torch.tensor([3.0, 0.0])
    result = ValueClipping(max_value=1.0).clip([("empty", parameters[0]), ("weight", parameters[1])])
    assert result.clipped_share == 0.5
    assert parameters[1].grad.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("max_value", [0.0, -1.0, math.nan, math.inf])
def test_a_limit_that_is_not_above_zero_is_refused(max_value: float) -> None:
    with pytest.raises(ConfigError, match="max_value must be above 0"):
        ValueClipping(max_value=max_value)
