"""Clipping by norm against torch's own function, and by hand."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from nines.clipping.norm import NormClipping
from nines.errors import ConfigError


def gradients(*values: list[float]) -> list[tuple[str, nn.Parameter]]:
    named = []
    for number, value in enumerate(values):
        parameter = nn.Parameter(torch.zeros(len(value)))
        parameter.grad = torch.tensor(value)
        named.append((f"p{number}", parameter))
    return named


def test_a_gradient_of_length_thirteen_worked_by_hand() -> None:
    named = gradients([3.0, 4.0], [12.0])
    result = NormClipping(max_norm=6.5).clip(named)
    assert (result.norm, result.clipped_share, result.threshold) == (13.0, 1.0, 6.5)
    assert named[0][1].grad.tolist() == pytest.approx([1.5, 2.0], rel=1e-6)
    assert named[1][1].grad.tolist() == pytest.approx([6.0], rel=1e-6)


def test_equals_torch_to_the_bit() -> None:
    model = nn.Sequential(nn.Linear(7, 5), nn.Linear(5, 3))
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    reference = copy.deepcopy(model)
    for ours, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        theirs.grad = ours.grad.clone()
    NormClipping(max_norm=0.3).clip(list(model.named_parameters()))
    torch.nn.utils.clip_grad_norm_(reference.parameters(), 0.3)
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(model.parameters(), reference.parameters(), strict=True))


def test_a_gradient_of_exactly_the_limit_stays_to_the_bit() -> None:
    named = gradients([3.0, 4.0])
    assert NormClipping(max_norm=5.0).clip(named).clipped_share == 0.0
    assert named[0][1].grad.tolist() == [3.0, 4.0]


@pytest.mark.parametrize("max_norm", [0.0, -1.0, math.nan, math.inf])
def test_a_limit_that_is_not_above_zero_is_refused(max_norm: float) -> None:
    with pytest.raises(ConfigError, match="max_norm must be above 0"):
        NormClipping(max_norm=max_norm)
