"""Python annotations in the words of somebody who edits a YAML file."""

from __future__ import annotations

import collections.abc
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nines.errors import nearest

WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    type(None): "null",
    Path: "a path",
    dict: "a mapping",
    list: "a list",
    tuple: "a list",
    collections.abc.Mapping: "a mapping",
    collections.abc.Sequence: "a list",
}


def describe(annotation: Any) -> str:
    """`annotation` in words: `float | None` is "a number or null"."""
    if typing.get_origin(annotation) is typing.Annotated:
        return describe(typing.get_args(annotation)[0])
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(describe(part) for part in arguments))
    if origin is typing.Literal:
        return f"one of {', '.join(_plain(choice) for choice in arguments)}"
    if origin in (list, tuple, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection):
        inner = [part for part in arguments if part is not ...]
        kinds = dict.fromkeys(describe(part).removeprefix("a ") for part in inner)
        return f"a list of {' and '.join(kinds)} values" if inner else "a list"
    return WORDS.get(origin or annotation) or str(getattr(annotation, "__name__", annotation))


def phrase(annotation: Any, value: Any, *, details: Sequence[str]) -> str:
    """What `annotation` expects in place of `value`; `details` are a validator's sentences, used for ranges."""
    choices = [choice for choice in _literals(annotation) if isinstance(choice, str)]
    if isinstance(value, str) and choices:
        close = nearest(value, choices)
        if close.startswith("did you mean"):
            return f"{describe(annotation)}; {close.partition('?')[0]}?"
    bounds = [detail for detail in details if detail.startswith("Input should be ") and " than " in detail]
    if bounds and isinstance(value, int | float):
        return bounds[0].removeprefix("Input should be ")
    return describe(annotation)


def _literals(annotation: Any) -> list[Any]:
    if typing.get_origin(annotation) is typing.Literal:
        return list(typing.get_args(annotation))
    return [choice for part in typing.get_args(annotation) for choice in _literals(part)]


def _plain(choice: Any) -> str:
    return "null" if choice is None else str(choice)
