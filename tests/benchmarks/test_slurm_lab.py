"""The private SLURM cluster's handle, on a starter script that only pretends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.slurm_lab import LabError, SlurmLab, free_ports

STARTER = """#!/bin/sh
mkdir -p "$SLURM_LAB/run"
echo "called $SLURM_LAB_DBD $SLURM_LAB_NODES" >>"$SLURM_LAB/calls"
echo "told on the way" >&2
echo "export SLURM_CONF='$SLURM_LAB/etc/slurm.conf'"
"""
STOPPER = """#!/bin/sh
echo "$@" >"$SLURM_LAB.down"
"""


@pytest.fixture
def starter(tmp_path: Path) -> Path:
    for name, text in (("slurm-up", STARTER), ("slurm-down", STOPPER)):
        (tmp_path / name).write_text(text, encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    return tmp_path / "slurm-up"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that carries the cluster's configuration, as its daemons do."""
    configuration = tmp_path / "lab" / "etc" / "slurm.conf"
    process = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], env={**os.environ, "SLURM_CONF": str(configuration)}
    )
    yield process
    process.kill()
    process.wait()


def test_a_lab_is_started_with_its_settings_and_stopped_with_purge(starter: Path, tmp_path: Path) -> None:
    lab = SlurmLab.start(starter, tmp_path / "lab", accounting=False)
    assert lab.environment == {"SLURM_CONF": str(tmp_path / "lab" / "etc" / "slurm.conf")}
    lab.mend()
    assert (tmp_path / "lab" / "calls").read_text(encoding="utf-8") == "called 0 2\n" * 2
    lab.stop()
    assert (tmp_path / "lab.down").read_text(encoding="utf-8") == "--purge\n"


def test_a_missing_starter_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="is not a script that can be executed"):
        SlurmLab.start(tmp_path / "none", tmp_path / "lab")


def test_a_starter_that_fails_is_an_error_with_its_last_words(starter: Path, tmp_path: Path) -> None:
    starter.write_text("#!/bin/sh\necho first >&2\necho munge is missing >&2\nexit 3\n", encoding="utf-8")
    with pytest.raises(LabError, match="munge is missing"):
        SlurmLab.start(starter, tmp_path / "lab")


def test_a_starter_that_says_nothing_is_an_error(starter: Path, tmp_path: Path) -> None:
    starter.write_text("#!/bin/sh\n", encoding="utf-8")
    with pytest.raises(LabError, match="did not print where"):
        SlurmLab.start(starter, tmp_path / "lab")


def test_a_daemon_is_killed_by_its_pid_file(starter: Path, tmp_path: Path, daemon: subprocess.Popen[bytes]) -> None:
    lab = SlurmLab.start(starter, tmp_path / "lab")
    (tmp_path / "lab" / "run" / "node1.pid").write_text(f"{daemon.pid}\n", encoding="ascii")
    assert lab.end("node1") == daemon.pid
    assert daemon.wait(10) == -9
    with pytest.raises(LabError, match="node1 does not run"):
        lab.end("node1")


def test_a_pid_that_now_belongs_to_somebody_else_is_not_killed(starter: Path, tmp_path: Path) -> None:
    lab = SlurmLab.start(starter, tmp_path / "lab")
    (tmp_path / "lab" / "run" / "node1.pid").write_text(f"{os.getpid()}\n", encoding="ascii")
    with pytest.raises(LabError, match="node1 does not run"):
        lab.end("node1")


def test_ports_lie_below_those_that_the_kernel_hands_out() -> None:
    assert 20_000 <= free_ports(100) < 32_000
