from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from apps.checkout import Checkout, check_clean
from nines.errors import ConfigError


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """A committed module in a repository of its own."""
    (tmp_path / "package").mkdir()
    module = tmp_path / "package" / "module.py"
    module.write_text("one = 1\n")
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    for arguments in (("init", "-q"), ("add", "."), (*identity, "commit", "-q", "-m", "first")):
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True)
    return module


def test_a_clean_checkout_is_its_commit_alone(module: Path) -> None:
    checkout = Checkout.holding(module)
    assert checkout.commit is not None
    assert len(checkout.commit) == 40
    assert not checkout.dirty
    assert check_clean(checkout, required=True) is None


def test_staged_and_unstaged_changes_anywhere_in_the_checkout_are_the_difference(module: Path) -> None:
    module.write_text("one = 2\n")
    subprocess.run(["git", "-C", str(module.parent), "add", "module.py"], check=True)
    module.write_text("one = 3\n")
    checkout = Checkout.holding(module)
    assert checkout.changed == ("package/module.py",)
    assert "-one = 1" in checkout.difference
    assert "+one = 3" in checkout.difference


def test_new_code_counts_and_other_new_files_do_not(module: Path) -> None:
    (module.parent.parent / "notes.txt").write_text("")
    assert not Checkout.holding(module).dirty
    (module.parent.parent / "site.yaml").write_text("")
    assert Checkout.holding(module).untracked == ("site.yaml",)


def test_the_users_git_configuration_does_not_change_the_difference(module: Path) -> None:
    git = ("git", "-C", str(module.parent))
    module.write_text("one = 2\n")
    plain = Checkout.holding(module).difference
    assert "+one = 2" in plain
    subprocess.run([*git, "config", "color.ui", "always"], check=True)
    subprocess.run([*git, "config", "diff.external", "/bin/true"], check=True)
    assert Checkout.holding(module).difference == plain


@pytest.mark.parametrize("text", ["a = 1\n", "a = 1\n\nb = 2", ""])
def test_the_kept_difference_makes_changed_and_new_files_again(module: Path, tmp_path: Path, text: str) -> None:
    new = module.parent / "Müller new.py"
    new.write_text(text)
    module.write_text("one = 2\n")
    checkout = Checkout.holding(module)
    assert checkout.untracked == ("package/Müller new.py",)
    new.unlink()
    module.write_text("one = 1\n")
    patch = checkout.difference + checkout.additions
    subprocess.run(["git", "-C", str(tmp_path), "apply", "-"], input=patch, text=True, check=True)
    assert (new.read_text(), module.read_text()) == (text, "one = 2\n")


def test_the_warning_names_new_code_that_no_run_can_keep(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.checkout.MOST_NEW_BYTES", 100)
    (module.parent / "tables.py").write_text("#" * 101)
    line = check_clean(Checkout.holding(module), required=False)
    assert line is not None
    assert line.endswith("environment.diff without package/tables.py")


def test_a_dirty_checkout_is_one_line_of_warning_or_is_refused(module: Path) -> None:
    for number in range(7):
        (module.parent / f"new_{number}.py").write_text("")
    checkout = Checkout.holding(module)
    line = check_clean(checkout, required=False)
    assert line is not None
    assert "\n" not in line
    assert "package/new_0.py (new)" in line
    assert "and 2 more" in line
    with pytest.raises(ConfigError, match=r"launcher\.require_clean: not committed: package/new_0\.py"):
        check_clean(checkout, required=True)
