"""Quantile clipping against numpy's percentile over the same history."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nines.clipping.base import ClipResult
from nines.clipping.quantile import QuantileClipping
from nines.errors import ConfigError


def clip_length(strategy: QuantileClipping, length: float) -> tuple[ClipResult, float]:
    """Clip a gradient of the given length: the result, and the length afterwards."""
    parameter = nn.Parameter(torch.zeros(2))
    parameter.grad = length * torch.tensor([0.6, 0.8])
    result = strategy.clip([("weight", parameter)])
    return result, math.nan if parameter.grad is None else parameter.grad.norm().item()


@pytest.mark.parametrize("percentile", [10.0, 50.0, 90.0])
@pytest.mark.parametrize("window", [4, 7, 100])
def test_equals_numpys_percentile_of_the_window(percentile: float, window: int) -> None:
    lengths = np.random.default_rng(0).lognormal(size=25).astype(np.float32)
    strategy = QuantileClipping(percentile=percentile, window=window, warmup_steps=3)
    for step, length in enumerate(lengths):
        result, after = clip_length(strategy, float(length))
        if step < 3:
            assert (result.threshold, result.clipped_share) == (None, 0.0)
            assert after == pytest.approx(length, rel=1e-6)
            continue
        limit = np.percentile(lengths[max(0, step + 1 - window) : step + 1], percentile)
        assert result.threshold == pytest.approx(limit, rel=1e-5)
        assert after == pytest.approx(min(length, limit), rel=1e-5)
        assert result.clipped_share == (1.0 if length > limit * (1 + 1e-5) else 0.0)


def test_steps_that_are_not_finite_do_not_enter_the_history() -> None:
    clean, disturbed = (QuantileClipping(percentile=50, window=5, warmup_steps=0) for _ in range(2))
    for length in (1.0, 2.0, 3.0):
        expected, _ = clip_length(clean, length)
        clip_length(disturbed, math.nan)
        clip_length(disturbed, math.inf)
        assert clip_length(disturbed, length)[0] == expected
    assert torch.equal(clean.history, disturbed.history)
    assert torch.equal(clean.seen, disturbed.seen)


def test_percentile_one_hundred_clips_nothing() -> None:
    strategy = QuantileClipping(percentile=100, window=10, warmup_steps=0)
    assert all(clip_length(strategy, length)[0].clipped_share == 0 for length in (1.0, 5.0, 50.0, 0.1))


def test_state_round_trip_in_the_middle_of_the_ring() -> None:
    saved = QuantileClipping(percentile=30, window=3, warmup_steps=1)
    for length in (4.0, 1.0, 2.0, 8.0):
        clip_length(saved, length)
    loaded = QuantileClipping(percentile=30, window=3, warmup_steps=1)
    loaded.load_state_dict(saved.state_dict())
    for length in (5.0, 0.5, 3.0, 7.0):
        assert clip_length(loaded, length) == clip_length(saved, length)


def test_a_history_cast_to_bf16_still_works() -> None:
    strategy = QuantileClipping(percentile=50, window=4, warmup_steps=0).bfloat16()
    assert [clip_length(strategy, length)[0].threshold for length in (1.0, 3.0)] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"percentile": 0.0}, "percentile"),
        ({"percentile": 101.0}, "percentile"),
        ({"window": 0}, "window"),
        ({"warmup_steps": -1}, "warmup_steps"),
        ({"window": 5, "warmup_steps": 6}, "forgotten before they were used"),
    ],
)
def test_values_out_of_range_are_refused(arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        QuantileClipping(**arguments)
