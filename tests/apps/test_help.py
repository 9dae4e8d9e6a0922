from __future__ import annotations

from pathlib import Path

import pytest

from apps.config import config_folder
from apps.help import choose, config_help, groups_of, root_values, sentence
from tests.apps.small_tree import write_tree


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(tmp_path)


def test_groups_are_those_of_the_defaults_list_in_its_order(tree: Path) -> None:
    groups = groups_of("train", folder=tree)
    assert [(group.name, group.default) for group in groups] == [
        ("module", "small"),
        ("imbalance", "none"),
        ("extra", None),
    ]
    assert [choice.name for choice in groups[1].choices] == ["dangling", "focal", "none", "sharp"]


def test_the_sentence_is_the_first_comment_that_is_no_package_header(tree: Path) -> None:
    assert sentence(tree / "imbalance" / "focal.yaml") == "Down-weights easy rows"
    assert sentence(tree / "module" / "small.yaml") == "A small module"
    assert sentence(tree / "imbalance" / "dangling.yaml") == ""


def test_a_choice_brings_the_files_that_it_builds_upon_first(tree: Path) -> None:
    found = choose("imbalance", "sharp", folder=tree)
    assert [package for package, _ in found] == ["module.loss", "module.loss"]
    assert [("gamma" in content, "alpha" in content) for _, content in found] == [(True, False), (False, True)]
    assert choose("extra", "more", folder=tree)[0][0] == ""
    assert choose("module", "small", folder=tree)[0][0] == "module"
    assert choose("extra", None, folder=tree) == []


def test_root_values_leave_the_defaults_list_out(tree: Path) -> None:
    assert root_values("train", folder=tree)["seed"] == 0
    assert "defaults" not in root_values("train", folder=tree)


def test_help_marks_the_default_and_shows_choices_values_and_examples(tree: Path) -> None:
    text = config_help("train", command="train", folder=tree)
    assert "* none" in text
    assert "  focal" in text
    assert "Down-weights easy rows" in text
    assert "rate=0.5" in text
    assert "must=???  (must be given)" in text
    assert "nines train imbalance=focal" in text


def test_every_shipped_choice_has_its_sentence() -> None:
    files = sorted(config_folder().rglob("*.yaml"))
    assert len(files) > 20
    assert [str(file) for file in files if not sentence(file)] == []
