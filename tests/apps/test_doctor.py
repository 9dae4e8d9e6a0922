from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps import machine
from apps.cli import main
from apps.findings import Finding, Level


def by_name(findings: Iterator[Finding]) -> dict[str, Finding]:
    return {finding.name.strip(): finding for finding in findings}


def test_this_machine_can_run_the_tests_so_the_doctor_finds_nothing_missing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["doctor", "--runs", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "MISSING" not in out
    assert f"torch                  {importlib.metadata.version('torch')}" in out
    assert "7526 labelled completions" in out
    assert str(tmp_path) in out


def test_a_missing_package_is_named_with_the_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(machine, "_requirements", lambda: ["no-such-distribution>=1,<2", "numpy>=1"])
    monkeypatch.setattr(machine, "_torch_findings", lambda: iter([Finding("torch", "2.13.0")]))
    assert main(["doctor", "--runs", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert 'pip install "no-such-distribution>=1,<2"' in out
    assert "missing: no-such-distribution" in out


def test_a_version_outside_the_bounds_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_requirements", lambda: ["numpy<1"])
    assert by_name(machine.packages("runs"))["numpy"].level is Level.NOTE


def test_every_dependency_of_the_project_is_looked_at() -> None:
    names = set(by_name(machine.packages("runs")))
    assert {"torch", "lightning", "hydra-core", "pyyaml", "argcomplete"} <= names
    assert "pytest" not in names


def test_a_torch_that_hangs_or_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "DEVICE_PROBE", "import time; time.sleep(60)")
    monkeypatch.setattr(machine, "DEVICE_SECONDS", 0.2)
    assert by_name(machine.devices("runs"))["torch"].level is Level.MISSING
    monkeypatch.setattr(machine, "DEVICE_SECONDS", 60)
    monkeypatch.setattr(machine, "DEVICE_PROBE", "raise ImportError('libcudart is gone')")
    torch = by_name(machine.devices("runs"))["torch"]
    assert torch.level is Level.MISSING
    assert "libcudart is gone" in torch.value


def test_caches_are_listed_with_their_sizes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "trunk").mkdir()
    (tmp_path / "trunk" / "block").write_bytes(b"x" * 3 * 2**20)
    monkeypatch.setenv("NINES_CACHE", str(tmp_path))
    found = by_name(machine.folders("runs"))
    assert found["trunk"].value == "3.0 MiB"
    assert str(tmp_path) in found["cache"].value


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_cache_that_cannot_be_written_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    monkeypatch.setenv("NINES_CACHE", str(tmp_path))
    assert by_name(machine.folders("runs"))["cache"].level is Level.MISSING


def test_little_space_and_absent_weights_are_notes_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NINES_CACHE", str(tmp_path))
    encoder = by_name(machine.materials("runs"))["embedded encoder"]
    assert encoder.level is Level.NOTE
    assert "nines weights fetch" in encoder.remedy

    class Usage:
        free = 2**20

    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: Usage)
    assert by_name(machine.folders("runs"))["cache"].level is Level.NOTE


def test_the_doctor_itself_does_not_import_torch(tmp_path: Path) -> None:
    check = (
        "import sys; from apps.cli import main; from apps import machine\n"
        "machine._torch_findings = lambda: iter(())\n"
        "main(['doctor']); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", check], check=True, capture_output=True, cwd=Path(__file__).parents[2])


def test_an_optional_part_that_is_missing_is_a_note_with_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "deepspeed":
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.2.3"

    monkeypatch.setattr(importlib.metadata, "version", version)
    found = by_name(machine.extras("runs"))
    assert found["deepspeed"].level is Level.NOTE
    assert found["deepspeed"].remedy == 'pip install "nines-lab[deepspeed]"'
    assert found["psycopg"] == Finding("psycopg", "1.2.3")
