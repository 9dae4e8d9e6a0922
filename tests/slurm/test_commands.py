import os
import stat
from pathlib import Path

import pytest

from nines.errors import SchedulerError
from slurm.commands import Finished, SystemCommands, available


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the PATH for commands of a test."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def command(tools: Path, name: str, text: str) -> None:
    (tools / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    (tools / name).chmod(stat.S_IRWXU)


def runner(waits: list[float], *, patience: float = 60.0, timeout: float = 10.0) -> SystemCommands:
    return SystemCommands(timeout=timeout, patience=patience, sleep=waits.append)


def test_a_command_is_run_with_its_input_and_in_english(tools: Path) -> None:
    command(tools, "squeue", 'read line; echo "$1 $line $LC_ALL $OTHER"; echo oops >&2; exit 3')
    finished = SystemCommands()(["squeue", "a b"], stdin="hello\n", environment={**os.environ, "OTHER": "kept"})
    assert finished == Finished(3, "a b hello C.UTF-8 kept\n", "oops\n")
    assert finished.complaint == "oops"


def test_a_controller_that_comes_back_is_waited_for(tools: Path) -> None:
    command(
        tools,
        "squeue",
        f"echo x >> {tools}/asked; [ $(wc -l < {tools}/asked) -ge 4 ] && exit 0; "
        "echo 'slurm_load_jobs error: Unable to contact slurm controller (connect failure)' >&2; exit 1",
    )
    waits: list[float] = []
    assert runner(waits)(["squeue"]).code == 0
    assert waits == [1.0, 2.0, 4.0]


def test_patience_ends(tools: Path) -> None:
    command(tools, "squeue", "echo 'Socket timed out on send/recv operation' >&2; exit 1")
    waits: list[float] = []
    with pytest.raises(SchedulerError, match="does not answer: Socket timed out"):
        runner(waits, patience=20.0)(["squeue"])
    assert 20.0 <= sum(waits) < 40.0


def test_a_submission_that_may_have_arrived_is_not_made_twice(tools: Path) -> None:
    command(tools, "sbatch", f"echo x >> {tools}/asked; echo 'Socket timed out on send/recv operation' >&2; exit 1")
    waits: list[float] = []
    assert runner(waits)(["sbatch"], stdin="").code == 1
    assert waits == []
    assert (tools / "asked").read_text() == "x\n"


def test_a_submission_that_never_left_is_made_again(tools: Path) -> None:
    command(
        tools,
        "sbatch",
        f"[ -e {tools}/asked ] && echo 7 && exit 0; touch {tools}/asked; "
        "echo 'sbatch: error: Unable to contact slurm controller (connect failure)' >&2; exit 1",
    )
    assert runner([])(["sbatch"], stdin="").output == "7\n"


def test_other_failures_are_the_callers(tools: Path) -> None:
    command(tools, "scancel", "echo 'Access/permission denied' >&2; exit 1")
    waits: list[float] = []
    assert runner(waits)(["scancel", "7"]).code == 1
    assert waits == []


def test_a_command_that_hangs_is_given_up(tools: Path) -> None:
    command(tools, "squeue", "exec sleep 60")
    with pytest.raises(SchedulerError, match="did not finish within"):
        SystemCommands(timeout=0.2)(["squeue"])


def test_a_machine_without_slurm_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not available()
    with pytest.raises(SchedulerError, match="no command 'squeue'"):
        SystemCommands()(["squeue"])
    command(tmp_path, "sbatch", "")
    assert not available()
    command(tmp_path, "squeue", "")
    assert available()
