from __future__ import annotations

import argparse
import os
import re
import resource
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from apps.cli import INTERNAL_ERROR, INTERRUPTED, build_parsers, main
from apps.commands import COMMANDS
from nines.errors import ConfigError, NinesError

CHECKOUT = Path(__file__).resolve().parents[2]


def use_command(monkeypatch: pytest.MonkeyPatch, behaviour: Any) -> None:
    """Put a command in place of `doctor` that does what `behaviour` does with its arguments."""
    module = ModuleType("apps.doctor")
    module.add_arguments = lambda parser: parser.add_argument("--times", type=int, default=1)  # type: ignore[attr-defined]
    module.run = behaviour  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "apps.doctor", module)


def raising(error: BaseException) -> Any:
    def behave(arguments: argparse.Namespace) -> int:
        raise error

    return behave


def test_the_exit_code_is_that_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    use_command(monkeypatch, lambda arguments: arguments.times)
    assert main(["doctor", "--times", "3"]) == 3


def test_an_error_of_ours_is_one_line_on_stderr_with_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for error, code in ((ConfigError("wrong key"), 2), (NinesError("no disk"), 1)):
        use_command(monkeypatch, raising(error))
        assert main(["doctor"]) == code
        out, err = capsys.readouterr()
        assert out == ""
        assert err == f"nines: {error}\n"


@pytest.mark.parametrize("words", [["--debug", "doctor"], ["doctor", "--debug"]])
def test_debug_shows_the_traceback_wherever_it_stands(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_command(monkeypatch, raising(ConfigError("wrong key")))
    assert main(words) == 2
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert err.endswith("nines: wrong key\n")


def test_a_mistake_wrapped_by_a_library_is_told_as_the_mistake_that_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    spec = OmegaConf.create({"_target_": "callbacks.checkpoints.Checkpoints", "monitor": "x", "every_n_steps": 0})
    use_command(monkeypatch, lambda arguments: instantiate(spec))
    assert main(["doctor"]) == 2
    assert capsys.readouterr().err.startswith("nines: callbacks.checkpoints.every_n_steps must be at least 1")
    trainer = OmegaConf.create({"_target_": "lightning.pytorch.Trainer", "accelerator": "cpu", "devices": 0})
    use_command(monkeypatch, lambda arguments: instantiate(trainer))
    assert main(["doctor"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_defect_is_one_line_and_its_traceback_is_kept_in_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("NINES_CACHE", str(tmp_path))
    use_command(monkeypatch, raising(ZeroDivisionError("two\nlines")))
    assert main(["doctor"]) == INTERNAL_ERROR
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith("nines: internal error: ZeroDivisionError: two lines at ")
    (kept,) = (tmp_path / "tracebacks").iterdir()
    assert str(kept) in err
    assert "in behave" in kept.read_text(encoding="utf-8")


def test_a_defect_is_still_told_where_no_file_can_be_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be", encoding="utf-8")
    monkeypatch.setenv("NINES_CACHE", str(tmp_path / "cache"))
    use_command(monkeypatch, raising(ZeroDivisionError("x")))
    assert main(["doctor"]) == INTERNAL_ERROR
    assert "--debug" in capsys.readouterr().err


def test_an_interrupt_is_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    use_command(monkeypatch, raising(KeyboardInterrupt()))
    assert main(["doctor"]) == INTERRUPTED
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["trian"], "unknown command 'trian'; did you mean 'train'?"),
        (["doctor", "--timse", "3"], "did you mean '--times'?"),
        (["doctor", "--times", "x"], "argument --times: invalid int value: 'x'"),
        (["train", "imbalance=focla"], "did you mean 'focal'"),
        (["train", "modul.size=1"], "unknown key 'modul.size'"),
        (["--colour", "doctor"], "unrecognized arguments: --colour"),
    ],
)
def test_a_mistake_of_the_user_is_one_line_and_exit_code_2(
    words: list[str], expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_command(monkeypatch, lambda arguments: 0)
    assert main(words) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert expected in err


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    out = capsys.readouterr().out
    for name in COMMANDS:
        assert name in out


@pytest.mark.parametrize("words", [["--config-dir", "{}"], ["--config-dir={}", "launcher=ours"]])
@pytest.mark.parametrize("command", ["train", "sweep"])
def test_help_tells_of_the_choices_in_the_users_own_folder(
    command: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "launcher").mkdir()
    (tmp_path / "launcher" / "ours.yaml").write_text("# A100 partition of our cluster\ndefaults: [slurm, _self_]\n")
    with pytest.raises(SystemExit):
        main([command, *(word.format(tmp_path) for word in words), "--help"])
    assert re.search(r"^ +ours +A100 partition of our cluster$", capsys.readouterr().out, re.MULTILINE)


def test_every_command_has_a_module_with_the_two_functions() -> None:
    for name in COMMANDS:
        _, command_parser = build_parsers(name)
        assert command_parser is not None
        assert callable(sys.modules[f"apps.{name}"].run)


def test_overrides_and_options_mix_in_any_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "imbalance=focal", "--cfg", "job", "seed=7"]) == 0
    out = capsys.readouterr().out
    assert "seed: 7" in out
    assert "FocalLoss" in out


def test_the_printed_config_can_be_resolved(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--cfg", "job"]) == 0
    assert "${" in capsys.readouterr().out
    assert main(["train", "--cfg", "job", "--resolve"]) == 0
    assert "${" not in capsys.readouterr().out


def test_a_reader_that_goes_away_leaves_no_traceback() -> None:
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} -m apps.cli train --cfg job | head -c 1"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("words", [[], *([name] for name in COMMANDS)])
def test_help_answers_without_torch_within_its_time(words: list[str]) -> None:
    check = (
        "import sys\n"
        "from apps.cli import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "except SystemExit as done:\n    assert not done.code\n"
        "heavy = {'torch', 'lightning', 'hydra', 'optuna', 'transformers', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", check, *words, "--help"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert "usage: nines" in done.stdout
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    # 0.3 s is the promise; a busy machine with cold caches may take a little more CPU time for the same work.
    assert spent < 0.6


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_behind_standard_output_is_one_line_and_exit_code_one() -> None:
    command = f"{shlex.quote(sys.executable)} -m apps.cli completion bash > /dev/full"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "nines: cannot write the output: No space left on device\n"
