"""Hydra's composition behind `apps.config.compose`: finds which override is wrong, and says so in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException

from apps.help import every_group_of, groups_of
from nines.errors import ConfigError, nearest

HYDRA_VERSION_BASE = "1.3"
MISSING = "???"
# A longer list of valid names would bury the suggestion.
MOST_LISTED = 12
# Values that a command fills in itself, so that a user need not give them.
FILLED_IN = frozenset({"logger.save_dir"})


def compose_tree(tree: Path, root: str, *, overrides: Sequence[str], allow_missing: bool) -> DictConfig:
    """Compose `root` from the YAML files under `tree`; see `apps.config.compose`."""
    if not (tree / f"{root}.yaml").is_file():
        raise ConfigError(
            f"there is no configuration {root!r}; {nearest(root, (path.stem for path in tree.glob('*.yaml')))}"
        )
    parsed = [_parse(text) for text in overrides]
    groups = choices(tree)
    for override in parsed:
        _check_override(override, groups, tree=tree)
    try:
        config = _compose(tree, root, list(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise _explained(error, tree, root, parsed=parsed, groups=groups) from error
    _check_references(config)
    missing = [key for key, value in flat_items(config) if value == MISSING and key not in FILLED_IN]
    if missing and not allow_missing:
        given = " ".join(f"{key}=..." for key in missing)
        raise ConfigError(f"{root} needs a value for {', '.join(missing)}; add {given}")
    return config


def choices(tree: Path) -> dict[str, list[str]]:
    """Every group below `tree` with its choices, such as `{"imbalance": ["focal", "none"]}`."""
    found: dict[str, list[str]] = {}
    for path in sorted(tree.rglob("*.yaml")):
        group = path.parent.relative_to(tree).as_posix()
        if group != ".":
            found.setdefault(group, []).append(path.stem)
    return found


def _compose(tree: Path, root: str, overrides: list[str]) -> DictConfig:
    with initialize_config_dir(str(tree.resolve()), version_base=HYDRA_VERSION_BASE):
        return hydra_compose(root, overrides)


def _parse(text: str) -> Override:
    try:
        return OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise ConfigError(
            f"cannot read the override {text!r}: write key=value, and quote a value that holds one of = , : [ ] {{ }}, "
            f"as in {_quoted_example(text)}"
        ) from error


def _quoted_example(text: str) -> str:
    key, _, value = text.partition("=")
    bare = (value or "value").replace('"', "").replace("'", "")
    return f"""'{key}="{bare}"'"""


def _check_override(override: Override, groups: Mapping[str, Sequence[str]], *, tree: Path) -> None:
    key = override.key_or_group
    if override.is_sweep_override():
        raise ConfigError(
            f"{override.input_line}: one run takes one value of {key}; write {key}=[1,2] for a list, or search over "
            "values with `nines sweep`"
        )
    if key not in groups or override.is_delete():
        return
    value = override.value()
    for choice in value if isinstance(value, list) else [value]:
        if choice is None:
            raise ConfigError(f"{override.input_line}: write ~{key} to leave the group out; {nearest('', groups[key])}")
        if isinstance(choice, str) and (tree / key / f"{choice}.yaml").is_file():
            continue
        raise ConfigError(f"{key}={choice}: unknown choice of the group {key!r}; {nearest(str(choice), groups[key])}")


def _explained(
    error: Exception, tree: Path, root: str, *, parsed: Sequence[Override], groups: Mapping[str, Sequence[str]]
) -> ConfigError:
    """The line that says which override is to blame: found by composing without those that only set values."""
    selecting = [override for override in parsed if override.key_or_group in groups]
    chosen = {override.key_or_group: str(override.value()) for override in selecting if not override.is_delete()}
    used = [group.name for group in groups_of(root, chosen=chosen, folder=tree)]
    try:
        config = _compose(tree, root, [str(override.input_line) for override in selecting])
    except (HydraException, OmegaConfBaseException):
        for override in selecting:
            if override.key_or_group not in used and not override.is_add():
                with_module = override.key_or_group in every_group_of(root, folder=tree) and "module" in chosen
                asked = f"{root} with module={chosen['module']}" if with_module else root
                return ConfigError(
                    f"{override.input_line}: {asked} does not use the group {override.key_or_group!r}; "
                    f"{nearest(override.key_or_group, used)}"
                )
        return ConfigError(f"cannot compose {root}: {_one_line(error)}")
    for override in parsed:
        key = override.key_or_group
        if key in groups or override.is_add() or override.is_force_add():
            continue
        if not _exists(config, key):
            return ConfigError(f"{override.input_line}: unknown key {key!r}; {suggest_key(key, config, used)}")
    return ConfigError(f"cannot compose {root}: {_one_line(error)}")


def suggest_key(key: str, config: DictConfig, groups: Sequence[str]) -> str:
    """Phrase what the unknown dotted `key` may have meant: a sibling, the same name elsewhere, or a similar path."""
    known = [*dict.fromkeys([*dict(flat_items(config)), *groups])]
    parent, name = _deepest_parent(key, config)
    node = OmegaConf.select(config, parent) if parent else config
    siblings = [str(child) for child in node] if isinstance(node, DictConfig) else []
    if not parent:
        siblings += [group for group in groups if group not in siblings]
    phrased = nearest(name, [child for child in siblings if child != "_target_"])
    if len(siblings) > MOST_LISTED and phrased.startswith("did you mean"):
        phrased = phrased.partition(" (valid")[0]
    if not phrased.startswith("did you mean"):
        elsewhere = [path for path in known if path.rpartition(".")[2] == key.rpartition(".")[2]]
        elsewhere = elsewhere or ([] if parent else difflib.get_close_matches(key, known, cutoff=0.7))
        if elsewhere:
            return f"did you mean {' or '.join(repr(path) for path in elsewhere[:3])}?"
    if parent and "_target_" in siblings and not phrased.startswith("did you mean"):
        return f"{phrased} (under {parent!r}); +{key}=... adds an argument that {node['_target_']} takes beside them"
    return f"{phrased} (under {parent!r})" if parent else phrased


def flat_items(config: DictConfig) -> Iterator[tuple[str, Any]]:
    """Every key of `config` in dotted form with its value as written, references unresolved, mappings included."""

    def walk(node: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, Any]]:
        for key, value in node.items():
            yield f"{prefix}{key}", value
            if isinstance(value, dict):
                yield from walk(value, f"{prefix}{key}.")

    content = OmegaConf.to_container(config, resolve=False)
    yield from walk(content if isinstance(content, dict) else {}, "")


def _exists(config: DictConfig, key: str) -> bool:
    return key in dict(flat_items(config)) or OmegaConf.select(config, key, default=None) is not None


def _deepest_parent(key: str, config: DictConfig) -> tuple[str, str]:
    """The longest prefix of `key` that exists in `config`, and the part after it."""
    parts = key.split(".")
    known = dict(flat_items(config))
    for length in range(len(parts) - 1, 0, -1):
        parent = ".".join(parts[:length])
        if parent in known:
            return parent, parts[length]
    return "", parts[0]


def _check_references(config: DictConfig) -> None:
    for key, _ in flat_items(config):
        try:
            OmegaConf.select(config, key, throw_on_missing=False)
        except InterpolationToMissingValueError:
            continue  # the missing value itself is reported, under its own key
        except OmegaConfBaseException as error:
            raise ConfigError(f"{key}: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    """The sentence of a Hydra or OmegaConf message, without the lines that describe their internals."""
    kept = []
    for line in str(error).splitlines():
        if line.startswith("Config search path"):
            break
        if line.strip() and not line.strip().startswith(("full_key:", "object_type=", "See https://")):
            kept.append(line.strip())
    return " ".join(kept) or type(error).__name__
