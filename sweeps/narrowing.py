"""Changes a sweep's space by the overrides of a command line: fix a parameter, replace its values, add one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from sweeps.grammar import parse_override
from sweeps.space import Space, parse_space

Tree: TypeAlias = dict[str, Any]


def narrow(
    parameters: Mapping[str, Any], conditions: Mapping[str, Any], *, swept: Mapping[str, str], fixed: Mapping[str, str]
) -> tuple[Space, dict[str, str]]:
    """The space after the changes, and what of `fixed` holds in every trial.

    A fixed key leaves the space, and conditions on it are settled: what they hold becomes unconditional, or goes.
    A key that exists only under conditions keeps them: `module.clipping.max_norm=1` says nothing of trials that do
    not clip by norm.

    Args:
        parameters: The space of the sweep's file.
        conditions: Its conditions.
        swept: Config key to a set of values in Hydra's grammar.
        fixed: Config key to one value.

    Raises:
        SweepError: The space that results is not valid.
    """
    tree, conditional = _replaced(conditions, {**swept, **fixed})
    everywhere = {key: text for key, text in fixed.items() if key not in conditional}
    kept: Tree = dict(parameters) | {key: text for key, text in swept.items() if key not in conditional}
    freed: Tree = {}
    settled = _settled(tree, everywhere, freed=freed)
    for key, source in freed.items():
        # A single value that no condition guards any more holds in every trial.
        if key in fixed:
            everywhere[key] = fixed[key]
        else:
            kept[key] = source
    return parse_space({key: source for key, source in kept.items() if key not in everywhere}, settled), everywhere


def _replaced(conditions: Mapping[str, Any], changes: Mapping[str, str]) -> tuple[Tree, set[str]]:
    """The conditions with the sources of changed keys replaced, and the keys that were found."""
    tree: Tree = {}
    found: set[str] = set()
    for text, body in conditions.items():
        if not isinstance(body, Mapping):
            tree[text] = body  # parsing the space says what is wrong with it
            continue
        inside: Tree = {}
        for key, source in body.items():
            if isinstance(source, Mapping):
                nested, deeper = _replaced({key: source}, changes)
                inside |= nested
                found |= deeper
            else:
                inside[key] = changes.get(key, source)
                found |= {key} & changes.keys()
        tree[text] = inside
    return tree, found


def _settled(conditions: Mapping[str, Any], fixed: Mapping[str, str], *, freed: Tree) -> Tree:
    """The conditions that are still open once the `fixed` keys are known; `freed` takes what no longer depends."""
    left: Tree = {}
    for text, body in conditions.items():
        key, _, wanted = str(text).partition("=")
        if not isinstance(body, Mapping):
            left[text] = body
            continue
        plain = {name: source for name, source in body.items() if not isinstance(source, Mapping)}
        nested = {name: source for name, source in body.items() if isinstance(source, Mapping)}
        if key not in fixed:
            inside: Tree = {}
            rest = _settled(nested, fixed, freed=inside)
            if content := {**plain, **inside, **rest}:
                left[text] = content
        elif fixed[key] in [choice.strip() for choice in wanted.split(",")]:
            freed |= plain
            left |= _settled(nested, fixed, freed=freed)
    return left


def split_overrides(overrides: list[str]) -> tuple[dict[str, str], list[str]]:
    """Separate command line overrides that name a set of values (new parameters) from those that fix one.

    Returns:
        Key to text of each override in sweep grammar, and the other overrides as they came.
    """
    swept: dict[str, str] = {}
    fixed: list[str] = []
    for text in overrides:
        override = parse_override(text, where="override")
        if override.type is not None and override.is_sweep_override():
            swept[override.key_or_group] = text.partition("=")[2]
        else:
            fixed.append(text)
    return swept, fixed
