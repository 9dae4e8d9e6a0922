"""Objects from plain mappings: `{"_target_": "nines.losses.focal.FocalLoss", "gamma": 2.0}` becomes a `FocalLoss`.

Checkpoints keep such mappings instead of pickled objects, so that a module can be loaded without any configuration
and without running code from outside this project.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from nines.errors import ConfigError, nearest


def build(spec: Mapping[str, Any], *, kind: type[Any]) -> Any:
    """Import the class that `spec` names by `_target_` and call it with the other entries.

    Args:
        spec: A mapping with `_target_`, a dotted path inside the package `nines`; the rest are keyword arguments.
        kind: Base class that the result must have.

    Raises:
        ConfigError: No `_target_`, a target outside `nines`, an unknown class or argument, or another kind of object.
    """
    arguments = dict(spec)
    target = arguments.pop("_target_", None)
    if not isinstance(target, str) or "." not in target:
        raise ConfigError(f"a {kind.__name__} needs `_target_: nines.…`, got {dict(spec)!r}")
    module_name, _, name = target.rpartition(".")
    if module_name.partition(".")[0] != "nines":
        raise ConfigError(f"_target_ {target!r} lies outside the package `nines`; a {kind.__name__} must come from it")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ConfigError(f"_target_ {target!r} names no module: {error}") from error
    constructor = getattr(module, name, None)
    if not (inspect.isclass(constructor) and issubclass(constructor, kind)):
        classes = [key for key, value in vars(module).items() if inspect.isclass(value) and issubclass(value, kind)]
        raise ConfigError(f"_target_ {target!r} is no {kind.__name__}; {nearest(name, classes)}")
    parameters = inspect.signature(constructor).parameters
    for key in arguments:
        if key not in parameters:
            raise ConfigError(f"{name} has no argument {key!r}; {nearest(key, parameters)}")
    return constructor(**arguments)
