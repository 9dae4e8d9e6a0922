"""The chaos run itself, shortened: six trials under attack for a minute on a real SLURM."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.chaos.__main__ import main
from benchmarks.slurm_lab import VARIABLE, starter_named_by_environment
from tests.slurm_cluster import cluster_on_path


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_minute_of_chaos_loses_doubles_and_changes_nothing(tmp_path: Path) -> None:
    if starter_named_by_environment() is None and cluster_on_path() is None:
        pytest.skip(f"no SLURM: sinfo finds no cluster, and {VARIABLE} names no script that starts one")
    assert main(["--quick", "--seed", "1", "--out", str(tmp_path / "chaos")]) == 0
    summary = json.loads((tmp_path / "chaos" / "summary.json").read_text(encoding="utf-8"))
    assert summary["violations"] == []
    assert summary["completed"] + summary["failed"] == 6
    assert summary["steps_lost"] == 0
    assert summary["compared_metrics"] >= 5 * summary["completed"]
    assert sum(summary["blows"].values()) >= 5


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "precious").touch()
    assert main(["--out", str(tmp_path)]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]
