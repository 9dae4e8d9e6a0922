from pathlib import Path

import pytest

from benchmarks.ppo_against_trl import environment
from benchmarks.ppo_against_trl.environment import EnvironmentFailed, environment_folder, interpreter, make


def test_it_lies_in_the_cache_and_another_build_of_torch_has_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NINES_CACHE", str(tmp_path))
    monkeypatch.delenv("TORCH_INDEX", raising=False)
    plain = environment_folder()
    monkeypatch.setenv("TORCH_INDEX", "https://example.org/cpu")
    assert plain.is_relative_to(tmp_path)
    assert environment_folder() != plain
    assert interpreter() is None


def test_torch_comes_first_and_from_its_index_and_a_ready_environment_is_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NINES_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCH_INDEX", "https://example.org/cpu")
    commands: list[list[str]] = []

    def record(command: list[str]) -> None:
        commands.append(command)
        environment_folder().mkdir(exist_ok=True)

    monkeypatch.setattr(environment, "_run", record)
    python = make()
    assert commands[0][1:3] == ["-m", "venv"]
    assert commands[1][-3:] == ["torch==2.13.0", "--index-url", "https://example.org/cpu"]
    assert "trl==1.12.*" in commands[2]
    assert make() == interpreter() == python
    assert len(commands) == 3


def test_a_failure_of_pip_is_told_and_leaves_nothing_that_looks_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NINES_CACHE", str(tmp_path))
    monkeypatch.setattr(environment.sys, "executable", "/bin/false")
    with pytest.raises(EnvironmentFailed, match="could not be made"):
        make()
    assert interpreter() is None
