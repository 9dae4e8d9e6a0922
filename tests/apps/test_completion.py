from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from apps.completion import SHELLS, complete, keys_with_values
from tests.apps.small_tree import write_tree

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(tmp_path)


def test_the_first_list_is_short_groups_and_the_roots_own_keys(tree: Path) -> None:
    found = complete("", "train", folder=tree)
    assert {"imbalance=", "module=", "module.", "seed=", "rate="} <= set(found)
    assert not any(word.startswith("module.") and word != "module." for word in found)


def test_after_a_dot_come_all_keys_below(tree: Path) -> None:
    assert complete("module.opt", "train", folder=tree) == ["module.optimizer.betas=", "module.optimizer.lr="]


def test_after_an_equals_sign_come_the_choices_of_the_group(tree: Path) -> None:
    assert complete("imbalance=", "train", folder=tree) == [
        "imbalance=dangling",
        "imbalance=focal",
        "imbalance=none",
        "imbalance=sharp",
    ]
    assert complete("imbalance=fo", "train", folder=tree) == ["imbalance=focal"]


def test_after_an_equals_sign_comes_the_value_that_a_key_has(tree: Path) -> None:
    assert complete("module.size=", "train", folder=tree) == ["module.size=3"]
    assert complete("quiet=", "train", folder=tree) == ["quiet=false", "quiet=true"]


def test_choices_typed_before_decide_which_keys_there_are(tree: Path) -> None:
    assert complete("module.loss.", "train", folder=tree) == ["module.loss.kind="]
    assert complete("module.loss.", "train", typed=["imbalance=sharp"], folder=tree) == [
        "module.loss.alpha=",
        "module.loss.gamma=",
    ]
    assert dict(keys_with_values("train", typed=["extra=more"], folder=tree))["module.size"] == 5


def ask(line: str, answer: Path) -> tuple[list[str], str]:
    """Put bash's question about `line` to the command, as argcomplete's shell function does.

    Returns:
        The words that bash may put in, and Python's list of imported modules.
    """
    question = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_SHELL": "bash",
        "_ARGCOMPLETE_COMP_WORDBREAKS": " \t\n\"'><=;|&(:",
        "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "COMP_TYPE": "9",
    }
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "apps.cli"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **question},
    )
    return [word for word in answer.read_text(encoding="utf-8").split("\013") if word], done.stderr


# bash breaks words at "=" and puts in only what follows it, so that part alone must be answered.
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("nines tr", {"train"}),
        ("nines train --conf", {"--config-dir"}),
        ("nines train imbal", {"imbalance="}),
        ("nines train imbalance=foc", {"focal"}),
        ("nines train seed=3 --debug imbalance=foc", {"focal"}),
        ("nines train module.optimizer.layer_d", {"module.optimizer.layer_decay="}),
        ("nines train imbalance=focal module.loss.gam", {"module.loss.gamma="}),
        ("nines completion ", set(SHELLS)),
        ("nines sweep sta", {"status"}),
        ("nines sweep sweep=qui", {"quick"}),
        ("nines sweep status imbalance=foc", {"focal"}),
        ("nines evaluate false", {"false_positive_rate="}),
    ],
)
def test_the_shell_is_answered_without_heavy_imports(line: str, expected: set[str], tmp_path: Path) -> None:
    words, imported = ask(line, tmp_path / "answer")
    assert {word.strip() for word in words} == expected
    modules = {row.rpartition("|")[2].strip() for row in imported.splitlines() if row.startswith("import time:")}
    assert "argcomplete" in modules
    assert not modules & {"torch", "lightning", "hydra", "optuna", "numpy", "transformers"}


def run_bash(script: str) -> str:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    bash = shutil.which("bash")
    assert bash is not None
    done = subprocess.run(
        [bash, "--norc", "-c", script], capture_output=True, text=True, check=True, env=environment, cwd=CHECKOUT
    )
    return done.stdout


def test_a_real_bash_completes_a_choice() -> None:
    script = """
        nines() { python -m apps.cli "$@"; }
        eval "$(nines completion bash)"
        complete -p nines
        COMP_LINE='nines train imbalance=foc' COMP_POINT=25 COMP_TYPE=9
        COMP_WORDS=(nines train imbalance = foc) COMP_CWORD=4
        _python_argcomplete nines foc =
        printf '%s\n' "${COMPREPLY[@]}"
    """
    registered, *replies = run_bash(script).splitlines()
    assert registered.startswith("complete ")
    assert [reply.strip() for reply in replies] == ["focal"]


@pytest.mark.parametrize("shell", list(SHELLS))
def test_the_printed_code_registers_the_command(shell: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "apps.cli", "completion", shell],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "nines" in done.stdout
    assert "complete" in done.stdout
