import shlex
from pathlib import Path

import pytest

from apps.cli import main
from apps.config import CONFIG_DIR_VARIABLE
from apps.printed_commands import again, printed
from tests.fake_slurm import FakeSlurm

LAUNCHER = ["launcher=slurm", "launcher.cpus_per_task=2"]


@pytest.fixture
def own_configurations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder `my conf` of the user's own in an otherwise empty folder; nothing is computed or submitted for true."""
    fake = FakeSlurm()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CONFIG_DIR_VARIABLE, "")  # restored afterwards: `nines sweep` sets it
    monkeypatch.setattr("slurm.queue.SystemCommands", lambda **_: fake)
    monkeypatch.setattr("apps.submission.available", lambda: True)
    monkeypatch.setattr("apps.submission.check_and_prepare", lambda overrides, **what: None)
    monkeypatch.setattr("apps.sweep_checks.check_and_prepare", lambda definition, **what: None)
    folder = tmp_path / "my conf"
    (folder / "sweep").mkdir(parents=True)
    (folder / "experiment").mkdir()
    (folder / "experiment" / "mine.yaml").write_text("# @package _global_\nname: mine\n")
    (folder / "sweep" / "heads.yaml").write_text("# @package _global_\nname: heads\nspace: {seed: 'choice(1, 2)'}\n")
    return folder


def test_without_configurations_of_ones_own_a_command_is_printed_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CONFIG_DIR_VARIABLE, raising=False)
    assert printed("train", "name=a b") == "nines train 'name=a b'"


def test_the_folder_is_absolute_and_may_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert printed("train", config_dir=Path("c")) == f"nines train --config-dir {tmp_path / 'c'}"
    monkeypatch.setenv(CONFIG_DIR_VARIABLE, "d")
    assert again(["sweep=x"]) == f"nines sweep sweep=x --config-dir {tmp_path / 'd'}"


def test_what_a_sweep_prints_to_go_on_names_them(own_configurations: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["sweep=heads", "model=tiny", "trainer=cpu", "trials=2", *LAUNCHER]
    assert main(["sweep", *words, "--config-dir", "my conf"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "more workers" in line]
    command = shlex.split(line.partition("more workers")[2].partition("   (again")[0])
    assert command == ["nines", "sweep", *words, "--config-dir", str(own_configurations)]


def test_what_a_submitted_run_prints_to_go_on_names_them(
    own_configurations: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["model=tiny", "trainer=cpu", "experiment=mine", *LAUNCHER]
    assert main(["train", *words, "--config-dir", "my conf"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "go on with it" in line]
    assert shlex.split(line.partition("go on with it")[2]) == [
        *["nines", "train", *words],
        *["--config-dir", str(own_configurations)],
    ]
