"""Composes the configuration of a command with Hydra, and says by which values it differs from the defaults."""

from __future__ import annotations

import importlib.resources
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nines.errors import ConfigError

if TYPE_CHECKING:
    from omegaconf import DictConfig

CONFIG_DIR_VARIABLE = "NINES_CONFIG_DIR"
ABSENT = "(absent)"
CHOSEN_BY_KEY = {"demo.size": "demo"}
"""Keys that name the choice of a group: `demo.size=tiny` takes all settings of `conf/demo/tiny.yaml`."""


def config_folder() -> Path:
    """The folder of the shipped YAML tree, wherever the package `conf` is installed."""
    with importlib.resources.as_file(importlib.resources.files("conf")) as folder:
        return folder


@contextmanager
def config_tree(config_dir: Path | None = None) -> Iterator[Path]:
    """One folder with the shipped YAML tree and, on top of it, that of the user.

    Hydra's search path puts the shipped tree first, so a file of the user could not replace one of ours; a merged copy
    can, and takes a few milliseconds.

    Without `config_dir` the folder named by `$NINES_CONFIG_DIR` is taken, if it is set: that is how the workers of a
    sweep, and the processes of its trials, learn of it.

    Raises:
        ConfigError: `config_dir` is no folder.
    """
    if config_dir is None and (inherited := os.environ.get(CONFIG_DIR_VARIABLE)):
        config_dir = Path(inherited)
    if config_dir is None:
        yield config_folder()
        return
    config_dir = config_dir.expanduser()
    if not config_dir.is_dir():
        raise ConfigError(f"--config-dir {config_dir}: there is no such folder")
    only_yaml = shutil.ignore_patterns("*.py", "*.pyc", "__pycache__")
    with tempfile.TemporaryDirectory(prefix="nines-conf-") as name:
        tree = Path(name)
        shutil.copytree(config_folder(), tree, ignore=only_yaml, dirs_exist_ok=True)
        shutil.copytree(config_dir, tree, ignore=only_yaml, dirs_exist_ok=True)
        yield tree


def compose(
    root: str, overrides: Sequence[str], *, config_dir: Path | None = None, allow_missing: bool = False
) -> DictConfig:
    """The configuration `root` (a file of conf/, without `.yaml`) with `overrides` in Hydra's grammar.

    Args:
        root: Name of the root file, such as `train`.
        overrides: Such as `imbalance=focal` or `module.optimizer.lr=1e-4`.
        config_dir: A YAML tree of the user's own; its files come before the shipped ones of the same name.
        allow_missing: Leave values that the user must give (`???`) and references to them as they are.

    Returns:
        The composed configuration, in struct mode, references unresolved.

    Raises:
        ConfigError: Unknown key, group or choice, wrong syntax, a missing value, or a reference that leads nowhere.
    """
    from apps.composition import compose_tree

    with config_tree(config_dir) as tree:
        return compose_tree(tree, root, overrides=_as_choices(overrides), allow_missing=allow_missing)


def _as_choices(overrides: Sequence[str]) -> list[str]:
    """Overrides in which the keys of `CHOSEN_BY_KEY` choose."""
    words = (word.partition("=") for word in overrides)
    return [f"{CHOSEN_BY_KEY.get(key, key)}{equals}{value}" for key, equals, value in words]


def as_yaml(config: DictConfig, *, resolve: bool = False) -> str:
    """`config` as YAML text, with references filled in when `resolve` is set."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(config, resolve=resolve)


def differences_from_defaults(
    config: DictConfig, root: str, *, ignore: Collection[str] = (), among: Sequence[str] = ()
) -> dict[str, Any]:
    """What makes `config` another run than the shipped defaults of `root`: dotted keys to values.

    It is a function of values: references are filled in first, so it does not matter by which overrides they came
    about. A key of the defaults that `config` lacks is listed with the value "(absent)".

    Args:
        config: A composed configuration.
        root: The root file that it came from.
        ignore: Dotted keys that do not make another run, such as the folder that runs lie in.
        among: Choices of groups under which the defaults are taken, such as `module=language_model`.
    """
    values, defaults = flatten(config), flatten(compose(root, among, allow_missing=True))
    differences = {
        key: values.get(key, ABSENT)
        for key in sorted(values.keys() | defaults.keys())
        if key not in values or key not in defaults or json.dumps(values[key]) != json.dumps(defaults[key])
    }
    return {
        key: value
        for key, value in differences.items()
        if not any(key == skipped or key.startswith(f"{skipped}.") for skipped in ignore)
    }


def flatten(config: DictConfig) -> dict[str, Any]:
    """Dotted keys to plain values, references filled in."""
    from omegaconf import OmegaConf

    return dict(_flatten(OmegaConf.to_container(config, resolve=True)))


def _flatten(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping) and (node or not prefix):
        for key, value in node.items():
            yield from _flatten(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, _normalised(node)


def _normalised(value: Any) -> Any:
    """2.0 and 2 are one value to every constructor that takes a number, so they must not make two runs."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_normalised(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _normalised(item) for key, item in value.items()}
    return value
