"""Which cluster the tests on SLURM get, and that a broken one is never passed over in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.slurm_lab import VARIABLE, LabError
from tests.slurm_cluster import any_cluster, private_cluster


def put_on_path(folder: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_a_starter_that_is_named_and_broken_fails_the_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_on_path(tmp_path, monkeypatch, sinfo="exit 0", sbatch="exit 0")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "slurm-up"))
    with pytest.raises(LabError), any_cluster():
        pass


def test_without_any_slurm_the_tests_are_skipped_with_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_on_path(tmp_path, monkeypatch)
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(pytest.skip.Exception, match="no SLURM"), any_cluster():
        pass
    with pytest.raises(pytest.skip.Exception, match=VARIABLE), private_cluster():
        pass


def test_a_cluster_whose_controller_does_not_answer_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_on_path(tmp_path, monkeypatch, sinfo="exit 1", sbatch="exit 0")
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(pytest.skip.Exception, match="no SLURM"), any_cluster():
        pass


def test_a_cluster_on_the_path_is_used_and_never_hurt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_on_path(tmp_path, monkeypatch, sinfo="exit 0", sbatch="exit 0", squeue='echo "7|RUNNING"')
    monkeypatch.delenv(VARIABLE, raising=False)
    with any_cluster() as cluster:
        assert cluster.lab is None
        assert cluster.jobs() == [["7", "RUNNING"]]
        # Jobs of others are among those of a cluster that is not ours.
        cluster.clear()
        assert cluster.jobs() == [["7", "RUNNING"]]
