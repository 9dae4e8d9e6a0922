"""The trunk cache's benchmark at its smallest size, with the random model."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import trunk_cache


def test_losses_with_and_without_the_cache_are_compared_step_by_step() -> None:
    assert trunk_cache.largest_difference([1.0, 2.0], [1.0, 2.5]) == 0.5
    with pytest.raises(ValueError, match="shorter"):
        trunk_cache.largest_difference([1.0, 2.0], [1.0])


def test_both_variants_train_alike_in_fp32(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NINES_CACHE", str(tmp_path))
    monkeypatch.setattr(trunk_cache, "FREEZE_LAYERS", 1)
    overrides = (
        "model=tiny",
        "callbacks=minimal",
        "logger=none",
        "trainer.precision=32-true",
        "trainer.accelerator=cpu",
    )
    losses = [trunk_cache.train(*overrides, cached=cached, rows=32, batch=8)[1] for cached in (True, False)]
    assert len(losses[0]) >= 2
    assert trunk_cache.largest_difference(*losses) < 1e-5


def test_help_and_wrong_options_end_without_running() -> None:
    with pytest.raises(SystemExit) as helped:
        trunk_cache.main(["--help"])
    assert helped.value.code == 0
    with pytest.raises(SystemExit) as refused:
        trunk_cache.main(["--rounds", "many"])
    assert refused.value.code == 2
