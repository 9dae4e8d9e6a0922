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
