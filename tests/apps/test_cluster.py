from __future__ import annotations

from pathlib import Path

import pytest

from apps.cluster import NEEDED, scheduler
from apps.findings import Finding, Level


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH that holds nothing but what the test puts there."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def put(folder: Path, name: str, script: str = "exit 0") -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def look() -> dict[str, Finding]:
    return {finding.name.strip(): finding for finding in scheduler("runs")}


def test_a_machine_without_slurm_lacks_nothing(commands: Path) -> None:
    found = look()["slurm"]
    assert found.level is Level.OK
    assert "no sbatch" in found.value


def test_partitions_are_listed_with_their_idle_nodes_limits_and_devices(commands: Path) -> None:
    for name in NEEDED:
        put(commands, name, "echo slurm-wlm 22.05.8")
    put(commands, "sinfo", "echo 'gpu*|up|1-00:00:00|3/5/0/8|gpu:a100:4'")
    found = look()
    assert found["slurm"].value.startswith("slurm-wlm 22.05.8")
    assert found["partition gpu*"].value == "up, 5 of 8 nodes idle, time limit 1-00:00:00, gpu:a100:4"
    assert "off" in found["accounting"].value


def test_a_controller_that_does_not_answer_is_a_note_with_its_own_words(commands: Path) -> None:
    for name in NEEDED:
        put(commands, name, "echo slurm-wlm 22.05.8")
    put(commands, "sinfo", "echo 'Unable to contact slurm controller' >&2; exit 1")
    found = look()["slurm"]
    assert found.level is Level.NOTE
    assert "Unable to contact slurm controller" in found.value


def test_a_half_installed_client_names_what_is_missing(commands: Path) -> None:
    put(commands, "sbatch")
    assert "scancel" in look()["slurm"].value
