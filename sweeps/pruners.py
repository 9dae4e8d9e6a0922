"""Pruners by name: `hyperband`, `median` and `none`, with Optuna's own options."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import optuna

from nines.errors import SweepError, nearest

PRUNERS: dict[str, type[optuna.pruners.BasePruner]] = {
    "hyperband": optuna.pruners.HyperbandPruner,
    "median": optuna.pruners.MedianPruner,
    "none": optuna.pruners.NopPruner,
}


def check_pruner(spec: Mapping[str, Any], *, objectives: int) -> None:
    """Refuse an unknown pruner or option, and pruning with several objectives.

    Args:
        spec: `name` and `options`.
        objectives: Number of objectives.

    Raises:
        SweepError: With what would be valid.
    """
    name, options = spec["name"], spec["options"]
    if name not in PRUNERS:
        raise SweepError(f"pruner: unknown pruner {name!r}; {nearest(name, PRUNERS)}")
    check_options(PRUNERS[name], options, where="pruner")
    if objectives > 1 and name != "none":
        raise SweepError(
            f"pruner: {name} cannot prune by {objectives} objectives at once; set pruner=none or keep one objective"
        )
    try:
        build_pruner(spec)
    except (TypeError, ValueError) as error:
        raise SweepError(f"pruner: {name} refuses its options {options}: {error}") from error


def build_pruner(spec: Mapping[str, Any]) -> optuna.pruners.BasePruner:
    """The pruner of a checked `spec`."""
    return PRUNERS[spec["name"]](**spec["options"])


def check_options(kind: type, options: Mapping[str, Any], *, where: str) -> None:
    """Refuse options that the constructor of `kind` does not take.

    Raises:
        SweepError: With the options that it takes.
    """
    valid = set(inspect.signature(kind).parameters)
    for option in options:
        if option not in valid:
            raise SweepError(f"{where}.options.{option}: unknown option; {nearest(option, valid)}")
