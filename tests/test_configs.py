"""Every YAML file that ships: it composes, and the constructors that it names take its keys and values."""

from __future__ import annotations

from dataclasses import is_dataclass
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from apps.composition import choices
from apps.config import compose, config_folder
from apps.help import choose, groups_of
from apps.signatures import import_target
from apps.validation import PASSED_ON, REPLACED, validate
from nines.errors import ConfigError

TREE = config_folder()
ROOTS = sorted(path.stem for path in TREE.glob("*.yaml"))
# Values that a root file leaves to the user; any text does for composing.
GIVEN = {"evaluate": ["classifier=somewhere"], "train": [], "sweep": []}
CHOICES = [(root, group.name, choice.name) for root in ROOTS for group in groups_of(root) for choice in group.choices]


def test_there_is_something_to_check() -> None:
    assert {"train", "evaluate", "sweep"} <= set(ROOTS)
    assert len(CHOICES) > 25


def test_every_group_is_used_by_a_root() -> None:
    used = {group.name for root in ROOTS for group in groups_of(root)}
    assert set(choices(TREE)) - used == set()


@pytest.mark.parametrize("root", ROOTS)
def test_the_defaults_of_every_root_compose_and_validate(root: str) -> None:
    validate(compose(root, GIVEN[root]), root=root)


@pytest.mark.parametrize(("root", "group", "choice"), CHOICES)
def test_every_choice_composes_and_its_constructors_take_it(root: str, group: str, choice: str) -> None:
    config = compose(root, [*GIVEN[root], f"{group}={choice}"], allow_missing=True)
    validate(config, root=root)
    assert_chosen(config, group, choice)


def test_data_of_ones_own_must_be_named() -> None:
    # "???" does not replace a value when files are merged: built upon another file, it would train on that one's data.
    with pytest.raises(ConfigError, match=r"datamodule\.path"):
        compose("train", ["datamodule=file"])


def assert_chosen(config: DictConfig, group: str, choice: str) -> None:
    """What the file says is in the config, where its package puts it: nothing else overrules it."""
    for package, content in choose(group, choice)[-1:]:
        composed = OmegaConf.to_container(config, resolve=False)
        for part in filter(None, package.split(".")):
            composed = composed[part]
        for key, value in content.items():
            if key != "defaults":
                assert is_within(value, composed[key]), key


def is_within(value: object, composed: object) -> bool:
    """Whether `composed` holds all that `value` says; a mapping may hold more."""
    if isinstance(value, dict):
        return isinstance(composed, dict) and all(is_within(item, composed.get(key)) for key, item in value.items())
    return value == composed


@pytest.mark.parametrize("imbalance", choices(TREE).get("imbalance", []))
@pytest.mark.parametrize("clipping", choices(TREE).get("clipping", []))
def test_every_pair_of_strategies_that_a_sweep_may_try_is_valid(imbalance: str, clipping: str) -> None:
    validate(compose("train", [f"imbalance={imbalance}", f"clipping={clipping}"]))


def test_what_validation_knows_by_name_is_still_there() -> None:
    config = compose("train", [])
    for target, mappings in PASSED_ON.items():
        import_target(target)
        for passed_on in mappings.values():
            assert is_dataclass(import_target(passed_on))
    for key in REPLACED:
        assert OmegaConf.select(config, key) is not None


def test_only_yaml_and_the_package_marker_lie_in_the_tree() -> None:
    odd = [path for path in TREE.rglob("*") if path.is_file() and path.suffix not in {".yaml", ".pyc"}]
    assert odd == [TREE / "__init__.py"]
    assert not list(TREE.rglob("*.yml"))
    assert Path(TREE, "train.yaml").is_file()
