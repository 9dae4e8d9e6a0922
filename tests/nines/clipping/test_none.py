"""No clipping: a huge gradient passes, and its norm is known."""

from __future__ import annotations

import torch
from torch import nn

from nines.clipping.none import NoClipping


def test_a_huge_gradient_passes_untouched() -> None:
    parameter = nn.Parameter(torch.zeros(2))
    parameter.grad = torch.tensor([3e6, -4e6])
    result = NoClipping().clip([("weight", parameter)])
    assert (result.norm, result.clipped_share, result.threshold) == (5e6, 0.0, None)
    assert parameter.grad.tolist() == [3e6, -4e6]
