"""Paired measurements, on speeds that are known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.paired import Clock, Speed, print_ratios, run_rounds, write_figures


def test_the_ratio_is_the_median_of_the_ratios_within_rounds() -> None:
    # The machine is ten times slower in the second round, for both: no ratio changes by that.
    rounds = [
        {"a": Speed(wall=20.0, processor=30.0), "b": Speed(wall=10.0, processor=10.0)},
        {"a": Speed(wall=4.0, processor=3.0), "b": Speed(wall=1.0, processor=1.0)},
        {"a": Speed(wall=30.0, processor=30.0), "b": Speed(wall=10.0, processor=5.0)},
    ]
    figures = print_ratios(rounds, {"a to b": ("a", "b")})["a to b"]
    assert figures["wall"] == {"median": 3.0, "all": [2.0, 4.0, 3.0]}
    assert figures["processor"] == {"median": 3.0, "all": [3.0, 3.0, 6.0]}


def test_every_other_round_runs_in_reverse_order() -> None:
    order: list[str] = []

    def record(name: str) -> Speed:
        order.append(name)
        return Speed(1.0, 1.0)

    results = run_rounds({"a": lambda: record("a"), "b": lambda: record("b")}, rounds=3)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert [sorted(speeds) for speeds in results] == [["a", "b"]] * 3


def test_speed_is_samples_over_the_seconds_of_either_clock() -> None:
    clock = Clock()
    clock.wall, clock.processor = 2.0, 0.5
    assert clock.speed(10) == Speed(wall=5.0, processor=20.0)


def test_figures_are_written_only_where_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_figures(None, {"a": 1})
    write_figures(tmp_path / "figures.json", {"a": 1})
    assert json.loads((tmp_path / "figures.json").read_text(encoding="utf-8")) == {"a": 1}
    assert capsys.readouterr().out == ""
