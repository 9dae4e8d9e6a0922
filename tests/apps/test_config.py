from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from apps import config as config_module
from apps.config import as_yaml, compose, config_tree, differences_from_defaults
from nines.errors import ConfigError
from tests.apps.small_tree import write_tree


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = write_tree(tmp_path / "conf")
    monkeypatch.setattr(config_module, "config_folder", lambda: folder)
    return folder


def small(*overrides: str) -> DictConfig:
    return compose("train", ["must=1", *overrides])


def message_of(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        small(*overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_groups_and_values_are_composed(tree: Path) -> None:
    config = small("imbalance=focal", "module.optimizer.lr=2e-4")
    assert config.module.loss.gamma == 2.0
    assert config.module.optimizer.lr == 2e-4
    assert config.reference == 3


def test_a_package_may_spread_over_the_whole_config(tree: Path) -> None:
    config = small("extra=more")
    # The root file comes last in its own defaults list, so its rate wins; the module's size is the experiment's.
    assert (config.rate, config.module.size) == (0.5, 5)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("imbalnce=focal", "'imbalance'"),
        ("module.optimizer.lrr=1", "did you mean 'lr'? (valid: betas, lr) (under 'module.optimizer')"),
        ("lr=1", "'module.optimizer.lr'"),
        ("optimizr.lr=1", "'module.optimizer.lr'"),
        ("modul.size=1", "did you mean 'module'?"),
        ("module.optimizer.momentum=1", "valid: betas, lr (under 'module.optimizer')"),
        ("module.zzz=1", "valid: loss, optimizer, size (under 'module')"),
        ("sed=1", "'seed'"),
    ],
)
def test_an_unknown_key_names_the_nearest(tree: Path, override: str, expected: str) -> None:
    message = message_of(override)
    assert f"{override}: unknown key" in message
    assert expected in message


def test_an_unknown_choice_names_the_nearest_and_all(tree: Path) -> None:
    message = message_of("imbalance=focla")
    assert "did you mean 'focal'" in message
    assert "dangling, focal, none, sharp" in message


def test_a_scalar_cannot_replace_a_group(tree: Path) -> None:
    assert "unknown choice of the group 'module'" in message_of("module=3")


def test_a_group_that_the_root_does_not_use_is_named(tree: Path) -> None:
    message = message_of("unused=thing")
    assert "train does not use the group 'unused'" in message
    assert "imbalance" in message


def test_null_for_a_group_says_how_to_leave_it_out(tree: Path) -> None:
    assert "~imbalance" in message_of("imbalance=null")
    assert "loss" not in small("~imbalance").module


def test_wrong_syntax_is_one_line_with_an_example(tree: Path) -> None:
    assert "'name=[1'" in message_of("name=[1")
    assert "write key=value" in message_of("name")
    # The example that the message gives must itself be right.
    assert small('name="a=b"').name == "a=b"


def test_several_values_are_refused_with_the_way_to_write_a_list(tree: Path) -> None:
    message = message_of("rate=1,2")
    assert "rate=[1,2]" in message
    assert "nines sweep" in message


def test_every_missing_value_is_named_at_once(tree: Path) -> None:
    with pytest.raises(ConfigError, match=r"needs a value for must; add must=\.\.\."):
        compose("train", [])
    assert OmegaConf.is_missing(compose("train", [], allow_missing=True), "must")


def test_a_reference_that_leads_nowhere_is_named_with_its_key(tree: Path) -> None:
    message = message_of("imbalance=dangling")
    assert message.startswith("module.loss.gamma: ")
    assert "nowhere.at.all" in message


def test_deleting_what_is_not_there_is_one_line(tree: Path) -> None:
    assert "module.sizes" in message_of("~module.sizes")


def test_an_unknown_root_names_the_roots(tree: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'train'"):
        compose("trian", [])


def test_a_tree_of_ones_own_adds_choices_and_replaces_files(tree: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    (own / "imbalance").mkdir(parents=True)
    (own / "imbalance" / "mine.yaml").write_text("# @package module.loss\ngamma: 9\n", encoding="utf-8")
    (own / "imbalance" / "focal.yaml").write_text("# @package module.loss\ngamma: 7\n", encoding="utf-8")
    assert compose("train", ["must=1", "imbalance=mine"], config_dir=own).module.loss.gamma == 9
    assert compose("train", ["must=1", "imbalance=focal"], config_dir=own).module.loss.gamma == 7
    assert compose("train", ["must=1", "imbalance=focal"]).module.loss.gamma == 2.0


def test_a_tree_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"), config_tree(tmp_path / "absent"):
        pass


def test_yaml_text_keeps_references_until_asked(tree: Path) -> None:
    assert "${module.size}" in as_yaml(small())
    assert "reference: 3" in as_yaml(small(), resolve=True)


def test_differences_are_those_of_values_not_of_spelling(tree: Path) -> None:
    def differences(*overrides: str) -> dict[str, object]:
        return differences_from_defaults(small(*overrides), "train", ignore=["must"])

    assert differences() == {}
    assert differences("module.optimizer.lr=0.001", "seed=0", "imbalance=none", "reference=3") == {}
    assert differences("rate=1") == differences("rate=1.0") == {"rate": 1}
    assert differences("whole=2") == {}
    assert differences("module.optimizer.betas=[0.9,0.99]") == {"module.optimizer.betas": [0.9, 0.99]}


def test_a_boolean_is_not_the_number_that_python_takes_it_for(tree: Path) -> None:
    assert differences_from_defaults(small("quiet=1"), "train", ignore=["must"]) == {"quiet": 1}


def test_a_reference_counts_where_its_value_changed(tree: Path) -> None:
    found = differences_from_defaults(small("module.size=4"), "train", ignore=["must"])
    assert found == {"module.size": 4, "reference": 4}


def test_removed_keys_make_another_run(tree: Path) -> None:
    found = differences_from_defaults(small("imbalance=focal"), "train", ignore=["must"])
    assert found == {"module.loss.gamma": 2, "module.loss.kind": "(absent)"}


def test_ignored_keys_take_those_below_them_along(tree: Path) -> None:
    config = small("module.size=4", "module.optimizer.lr=1", "rate=1")
    assert differences_from_defaults(config, "train", ignore=["module", "reference", "must"]) == {"rate": 1}
