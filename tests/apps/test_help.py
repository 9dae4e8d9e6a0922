from __future__ import annotations

from pathlib import Path

import pytest

from apps.config import config_folder
from apps.help import choose, config_help, every_group_of, groups_of, root_values, sentence, values_of
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


@pytest.fixture
def nested(tree: Path) -> Path:
    """The small tree with a second module that brings a group, a key at the top and data of its own."""
    files = {
        "module/large.yaml": """\
# @package _global_
# A large module
defaults:
  - /size: big
  - _self_
name: large
module:
  depth: 7
""",
        "size/big.yaml": "# @package module.size\n# Big\ncount: 9\n",
        "size/huge.yaml": "# @package module.size\n# Huge\ncount: 99\n",
    }
    for name, text in files.items():
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).write_text(text, encoding="utf-8")
    return tree


def test_a_module_brings_its_groups_right_after_itself(nested: Path) -> None:
    assert [group.name for group in groups_of("train", folder=nested)] == ["module", "imbalance", "extra"]
    brought = groups_of("train", chosen={"module": "large"}, folder=nested)
    assert [(group.name, group.default) for group in brought] == [
        ("module", "small"),
        ("size", "big"),
        ("imbalance", "none"),
        ("extra", None),
    ]
    assert set(every_group_of("train", folder=nested)) == {"module", "size", "imbalance", "extra"}


def test_values_of_a_choice_at_the_top_count_as_the_roots_own_and_the_root_wins(nested: Path) -> None:
    assert values_of("train", folder=nested)["name"] == "small"
    root = nested / "train.yaml"
    root.write_text(root.read_text(encoding="utf-8").replace("name: small", "other: 1"), encoding="utf-8")
    assert "name" not in values_of("train", folder=nested)
    assert values_of("train", chosen={"module": "large"}, folder=nested)["name"] == "large"


def test_help_names_the_choice_that_brings_a_group(nested: Path) -> None:
    text = config_help("train", command="train", folder=nested)
    assert "size (with module=large)" in text
    assert "  * big" in text


def test_the_classifier_brings_what_it_needs_and_imbalance_after_the_data() -> None:
    names = [group.name for group in groups_of("train")]
    assert {"model", "dropout", "clipping", "optimizer", "callbacks", "trainer", "launcher"} <= set(names)
    assert names.index("imbalance") > names.index("datamodule")
