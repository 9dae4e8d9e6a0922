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
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException

from apps.help import groups_of
from nines.errors import ConfigError, nearest

HYDRA_VERSION_BASE = "1.3"
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
    if not allow_missing and (missing := sorted(OmegaConf.missing_keys(config) - FILLED_IN)):
        given = " ".join(f"{key}=..." for key in missing)
        raise ConfigError(f"{root} needs a value for {', '.join(missing)}; add {given}")
    _check_references(config, allow_missing=allow_missing)
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
    except OverrideParseException as error:
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
    try:
        config = _compose(tree, root, [str(override.input_line) for override in selecting])
    except (HydraException, OmegaConfBaseException):
        used = [group.name for group in groups_of(root, folder=tree)]
        for override in selecting:
            if override.key_or_group not in used and not override.is_add():
                return ConfigError(
                    f"{override.input_line}: {root} does not use the group {override.key_or_group!r}; "
                    f"{nearest(override.key_or_group, used)}"
                )
        return ConfigError(f"cannot compose {root}: {_one_line(error)}")
    for override in parsed:
        key = override.key_or_group
        if key in groups or override.is_add() or override.is_force_add():
            continue
        if not _exists(config, key):
            return ConfigError(f"{override.input_line}: unknown key {key!r}; {suggest_key(key, config, groups)}")
    return ConfigError(f"cannot compose {root}: {_one_line(error)}")


def suggest_key(key: str, config: DictConfig, groups: Mapping[str, Sequence[str]]) -> str:
    """Phrase the keys of `config` nearest to the unknown dotted `key`: by its last part, by spelling, or siblings."""
    known = [*flat_keys(config), *groups]
    last = key.rpartition(".")[2]
    close = [name for name in known if name.rpartition(".")[2] == last][:3]
    close += [name for name in difflib.get_close_matches(key, known, n=3, cutoff=0.7) if name not in close]
    if close:
        return f"did you mean {' or '.join(repr(name) for name in close[:4])}?"
    parent, name = _deepest_parent(key, config)
    hint = f" (under {parent!r})" if parent else ""
    node = OmegaConf.select(config, parent) if parent else config
    names = [str(child) for child in node] if isinstance(node, DictConfig) else []
    return f"{nearest(name, names if parent else [*names, *groups])}{hint}"


def flat_keys(config: DictConfig) -> Iterator[str]:
    """Every key of `config` in dotted form, mappings included."""

    def walk(node: Any, prefix: str) -> Iterator[str]:
        for key, value in node.items():
            dotted = f"{prefix}{key}"
            yield dotted
            if isinstance(value, dict):
                yield from walk(value, f"{dotted}.")

    yield from walk(OmegaConf.to_container(config, resolve=False), "")


def _exists(config: DictConfig, key: str) -> bool:
    return key in set(flat_keys(config)) or OmegaConf.select(config, key, default=None) is not None


def _deepest_parent(key: str, config: DictConfig) -> tuple[str, str]:
    """The longest prefix of `key` that exists in `config`, and the part after it."""
    parts = key.split(".")
    known = set(flat_keys(config))
    for length in range(len(parts) - 1, 0, -1):
        parent = ".".join(parts[:length])
        if parent in known:
            return parent, parts[length]
    return "", parts[0]


def _check_references(config: DictConfig, *, allow_missing: bool) -> None:
    for key in flat_keys(config):
        try:
            OmegaConf.select(config, key, throw_on_missing=False)
        except InterpolationToMissingValueError as error:
            if not allow_missing:
                raise ConfigError(f"{key} refers to a value that is not given: {_one_line(error)}") from error
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
