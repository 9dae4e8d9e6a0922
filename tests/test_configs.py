"""Every YAML file that ships: it composes, and the constructors that it names take its keys and values."""

from __future__ import annotations

from dataclasses import is_dataclass
from pathlib import Path

import pytest
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning.pytorch import Callback, LightningDataModule, Trainer
from omegaconf import DictConfig, OmegaConf

from apps.composition import choices
from apps.config import compose, config_folder
from apps.defects import behind
from apps.help import choose, every_group_of, groups_of
from apps.signatures import import_target
from apps.training import resolve_precision
from apps.validation import PASSED_ON, REPLACED, validate
from nines.errors import ConfigError

TREE = config_folder()
ROOTS = sorted(path.stem for path in TREE.glob("*.yaml"))
# Values that a root file leaves to the user; any text does for composing.
GIVEN = {
    "evaluate": ["classifier=somewhere"],
    "calibrate": ["classifier=somewhere"],
    "generate": [],
    "train": [],
    "sweep": [],
    "demo": [],
}
# Choices of a group that several modules share and that fit another module than the default one.
OF_MODULE = {
    ("datamodule", "comparisons"): "reward_model",
    ("callbacks", "reward_model"): "reward_model",
    ("datamodule", "fiction"): "language_model",
    ("datamodule", "stories"): "language_model",
    ("callbacks", "language_model"): "language_model",
    ("datamodule", "prompts"): "ppo_generator",
    ("callbacks", "policy"): "ppo_generator",
    ("optimizer", "policy"): "ppo_generator",
    ("experiment", "distil_cpu"): "ppo_generator",
}


def module_of(group: str, choice: str) -> str | None:
    """The module to compose a choice with: itself, the one that it was made for, or the first that has its group."""
    if group == "module" or group in {known.name for known in groups_of("train")}:
        return OF_MODULE.get((group, choice))
    brings = (
        name
        for name in choices(TREE)["module"]
        if group in {g.name for g in groups_of("train", chosen={"module": name})}
    )
    return next(brings, None)


def with_module(root: str, group: str, choice: str) -> list[str]:
    """The overrides under which `choice` makes sense."""
    name = module_of(group, choice) if root == "train" else None
    return [*GIVEN.get(root, []), *([f"module={name}"] if name else [])]


CHOICES = [
    (root, group.name, choice.name)
    for root in ROOTS
    for group in every_group_of(root).values()
    for choice in group.choices
]


def test_there_is_something_to_check() -> None:
    assert {"train", "evaluate", "sweep"} <= set(ROOTS)
    assert len(CHOICES) > 25


def test_every_group_is_used_by_a_root() -> None:
    used = {name for root in ROOTS for name in every_group_of(root)}
    assert set(choices(TREE)) - used == set()


@pytest.mark.parametrize("root", ROOTS)
def test_the_defaults_of_every_root_compose_and_validate(root: str) -> None:
    validate(compose(root, GIVEN.get(root, [])), root=root)


@pytest.mark.parametrize(("root", "group", "choice"), CHOICES)
def test_every_choice_composes_and_its_constructors_take_it(root: str, group: str, choice: str) -> None:
    config = compose(root, [*with_module(root, group, choice), f"{group}={choice}"], allow_missing=True)
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
    for target, mappings in PASSED_ON.items():
        import_target(target)
        for passed_on in mappings.values():
            assert is_dataclass(import_target(passed_on))
    config = compose("train", [])
    for key in REPLACED:
        assert OmegaConf.select(config, key) is not None


def test_only_yaml_and_the_package_marker_lie_in_the_tree() -> None:
    odd = [path for path in TREE.rglob("*") if path.is_file() and path.suffix not in {".yaml", ".pyc"}]
    assert odd == [TREE / "__init__.py"]
    assert not list(TREE.rglob("*.yml"))
    assert Path(TREE, "train.yaml").is_file()


@pytest.mark.parametrize("group", ["imbalance", "clipping", "dropout", "optimizer", "module", "experiment"])
def test_every_choice_of_the_module_builds_with_the_tiny_encoder(group: str) -> None:
    for choice in choices(TREE)[group]:
        if (group == "module" and choice != "classifier") or (group, choice) in OF_MODULE:
            continue
        config = compose("train", ["model=tiny", f"{group}={choice}"])
        config.module.model.update(source="tiny:bert", freeze_layers=0)
        module = instantiate(config.module, _recursive_=False, _convert_="all")
        assert sum(parameter.numel() for parameter in module.parameters()) > 0, choice


@pytest.mark.parametrize("choice", [name for group, name in OF_MODULE if group == "experiment"])
def test_an_experiment_on_policies_builds_with_the_tiny_generator(choice: str) -> None:
    small = ["generator=tiny", "reward=callable", "module.reward.name=never.called"]
    config = compose("train", ["module=ppo_generator", *small, f"experiment={choice}"])
    module = instantiate(config.module, _recursive_=False, _convert_="all")
    assert sum(parameter.numel() for parameter in module.parameters()) > 0


def build_trainer(choice: str) -> Trainer:
    config = compose("train", [f"trainer={choice}"])
    resolve_precision(config)
    return instantiate(config.trainer, logger=False, callbacks=[], _convert_="all")


@pytest.mark.parametrize("choice", [name for name in choices(TREE)["trainer"] if name != "gpu"])
def test_every_trainer_builds(choice: str) -> None:
    if choice.startswith("deepspeed"):
        pytest.importorskip("deepspeed")
    assert build_trainer(choice).num_devices == compose("train", [f"trainer={choice}"]).trainer.devices


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_trainer_whose_device_is_missing_is_a_mistake_of_the_user() -> None:
    with pytest.raises(InstantiationException) as caught:
        build_trainer("gpu")
    assert "No supported gpu backend found" in str(behind(caught.value))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
def test_the_gpu_trainer_builds() -> None:
    assert build_trainer("gpu").num_devices == 1


def test_choices_said_to_fit_another_module_exist() -> None:
    for (group, choice), module in OF_MODULE.items():
        assert choice in choices(TREE)[group]
        assert module in choices(TREE)["module"]


@pytest.mark.parametrize("choice", choices(TREE).get("callbacks", []))
def test_every_set_of_callbacks_builds(choice: str) -> None:
    overrides = [*with_module("train", "callbacks", choice), f"callbacks={choice}"]
    built = instantiate(compose("train", overrides, allow_missing=True).callbacks, _convert_="all")
    assert all(isinstance(callback, Callback) for callback in built.values())


@pytest.mark.parametrize("choice", choices(TREE).get("datamodule", []))
def test_every_data_module_builds(choice: str) -> None:
    overrides = [*with_module("train", "datamodule", choice), f"datamodule={choice}"]
    config = compose("train", overrides, allow_missing=True)
    config.module.model.source = "tiny:llama" if module_of("datamodule", choice) else "tiny:bert"
    if OmegaConf.is_missing(config.datamodule, "path"):
        config.datamodule.path = "embedded:injury"
    assert isinstance(instantiate(config.datamodule, _convert_="all"), LightningDataModule)
