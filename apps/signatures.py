"""Holds the arguments of a configuration against a constructor's signature and annotations, without calling it."""

from __future__ import annotations

import importlib
import inspect
import json
import typing
from collections.abc import Callable, Collection, Mapping
from typing import Any

import pydantic

from apps.annotations import phrase
from nines.errors import ConfigError, nearest

MISSING = "???"


def import_target(path: str) -> Callable[..., Any]:
    """The class or function that a dotted path names.

    Raises:
        ConfigError: There is no such module or name, or it cannot be called.
    """
    module_name, _, name = str(path).rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except (ModuleNotFoundError, ValueError) as error:
        raise ConfigError(f"there is no module {module_name!r} ({error})") from error
    found = getattr(module, name, None)
    if not callable(found):
        names = [key for key, value in vars(module).items() if inspect.isclass(value)]
        raise ConfigError(f"{module_name} has no class {name!r}; {nearest(name, names)}")
    return typing.cast(Callable[..., Any], found)


def call_problems(
    constructor: Callable[..., Any],
    arguments: Mapping[str, Any],
    *,
    where: str,
    name: str,
    complete: bool = True,
    present: Collection[str] = (),
) -> list[str]:
    """What is wrong with calling `constructor` with keyword `arguments`: unknown, missing, of another type.

    Args:
        constructor: A class or function.
        arguments: Plain values; a mapping with `_target_` stands for an object, whose type is not checked.
        where: Dotted key of the mapping, for the messages ("" at the root).
        name: What to call the constructor in the messages.
        complete: Whether required arguments must all be there.
        present: Required arguments that need not be in `arguments`: somebody else checks or adds them.
    """
    parameters = dict(inspect.signature(constructor).parameters)
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    named = {
        key: parameter
        for key, parameter in parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    types = _annotations(constructor)
    prefix = f"{where}." if where else ""
    problems = []
    for key, value in arguments.items():
        if key not in named:
            if not open_ended:
                problems.append(f"{prefix}{key}: {name} takes no {key!r}; {nearest(str(key), named)}")
        elif key in types and (expected := value_problem(value, types[key])):
            problems.append(f"{prefix}{key} = {value!r}: expected {expected}")
    if complete:
        required = [key for key, parameter in named.items() if parameter.default is parameter.empty]
        problems += [
            f"{prefix}{key}: {name} needs a value for it"
            for key in required
            if key not in arguments and key not in present
        ]
    return problems


def value_problem(value: Any, annotation: Any) -> str | None:
    """What `annotation` expects, in words, when `value` does not fit it; None when it fits or cannot be judged.

    A whole number fits a float, a list fits a tuple or sequence, text fits a path. Objects, and types that only an
    object can have, are not judged.
    """
    if value == MISSING or _holds_object(value):
        return None
    try:
        adapter = pydantic.TypeAdapter(annotation, config=_config_for(annotation))
    except (pydantic.errors.PydanticUserError, TypeError, NameError):
        return None
    try:
        # JSON is what YAML values are: strict validation of it takes a list for a tuple and text for a path.
        adapter.validate_json(json.dumps(value), strict=True)
    except pydantic.ValidationError as error:
        # An argument that only takes objects of a class cannot be judged from plain values.
        if all(detail["type"] == "needs_python_object" for detail in error.errors()):
            return None
        return phrase(annotation, value, details=[str(detail["msg"]) for detail in error.errors()])
    except (pydantic.errors.PydanticUserError, TypeError):
        return None
    return None


def _config_for(annotation: Any) -> pydantic.ConfigDict | None:
    """Foreign classes are allowed in annotations; pydantic refuses that setting for its own kinds of classes."""
    if typing.is_typeddict(annotation) or hasattr(annotation, "__dataclass_fields__"):
        return None
    return pydantic.ConfigDict(arbitrary_types_allowed=True)


def _holds_object(value: Any) -> bool:
    if isinstance(value, dict):
        return "_target_" in value or any(_holds_object(item) for item in value.values())
    return isinstance(value, list) and any(_holds_object(item) for item in value)


def _annotations(constructor: Callable[..., Any]) -> dict[str, Any]:
    """Resolved annotations by argument; those that cannot be resolved at run time are left out."""
    function = constructor.__init__ if inspect.isclass(constructor) else constructor
    function = inspect.unwrap(function)
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError):
        return _annotations_one_by_one(function)


def _annotations_one_by_one(function: Callable[..., Any]) -> dict[str, Any]:
    names = vars(inspect.getmodule(function)) if inspect.getmodule(function) else {}
    found = {}
    for key, annotation in getattr(function, "__annotations__", {}).items():
        holder = type("Holder", (), {"__annotations__": {key: annotation}})
        try:
            found[key] = typing.get_type_hints(holder, globalns=names, include_extras=True)[key]
        except (NameError, TypeError, AttributeError):
            continue
    return found
