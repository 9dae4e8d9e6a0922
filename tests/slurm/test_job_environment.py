"""The variables that the script of a job sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from slurm.job_environment import job_environment


def test_folders_are_absolute_since_the_job_starts_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NINES_CACHE", "cache")
    assert job_environment()["NINES_CACHE"] == str(tmp_path / "cache")


def test_every_library_gets_the_number_of_threads() -> None:
    found = {name: value for name, value in job_environment(threads=6).items() if name.endswith("_NUM_THREADS")}
    assert found == {"OMP_NUM_THREADS": "6", "MKL_NUM_THREADS": "6", "OPENBLAS_NUM_THREADS": "6"}


def test_the_users_own_configurations_are_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NINES_CONFIG_DIR", raising=False)
    assert "NINES_CONFIG_DIR" not in job_environment()
    monkeypatch.setenv("NINES_CONFIG_DIR", "/home/me/nines")
    assert job_environment()["NINES_CONFIG_DIR"] == "/home/me/nines"


def test_no_password_comes_into_the_script(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NINES_STORAGE_PASSWORD", "PGPASSWORD", "HF_TOKEN"):
        monkeypatch.setenv(name, "hidden-4711")
    assert "hidden-4711" not in str(job_environment())
