"""The schema of a comparison: two completions of a prompt, which one continues it better, and who found so how clearly.

As in `datamodules.schema` nothing is coerced, and only the standard library is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from datamodules.schema import FieldReader, short_hash, shown

Preference = Literal["a", "b", "tie"]
PREFERENCES: tuple[Preference, ...] = get_args(Preference)
FIELDS = ("id", "prompt_id", "genre", "prompt", "a", "b", "preference", "judgements", "clarity")
REQUIRED_FIELDS = ("prompt", "a", "b", "preference")
CLEAREST = 3


@dataclass(frozen=True, slots=True)
class Judgement:
    """One reading of a pair.

    Attributes:
        preference: Which completion continues the prompt better: a, b, or tie.
        clarity: How clear that was, 1 (slightly) to 3 (clearly), 0 for a tie; None if unknown.
    """

    preference: Preference
    clarity: int | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two completions of one prompt and their judgements.

    Attributes:
        prompt: The story so far.
        a: One next sentence.
        b: The other.
        preference: What all readings come to; tie where they differ.
        judgements: The single readings, in order, at least one.
        id: Name of the row; by default a hash of its texts.
        prompt_id: Name of the prompt, the unit of splits and intervals; by default a hash of its text.
        genre: Genre of the story.
    """

    prompt: str
    a: str
    b: str
    preference: Preference
    judgements: tuple[Judgement, ...]
    id: str
    prompt_id: str
    genre: str | None = None


def parse_comparison(row: Mapping[str, Any], where: str) -> Comparison | list[str]:
    """The row as a `Comparison`, or one message for each of its problems.

    A row without `judgements` has one, its `preference` with its `clarity`, if that is stated. Other fields are left
    aside, unless their name is so close to a known one that a misspelling is likely.

    Args:
        row: Field names to values.
        where: File and line (or row), put before each message.
    """
    reader = FieldReader(row, where, fields=FIELDS)
    prompt, a, b = (reader.text(field, required=True) for field in ("prompt", "a", "b"))
    preference = reader.one_of("preference", PREFERENCES, required=True)
    clarity = _clarity(reader, row.get("clarity"), preference, field="clarity")
    judgements = _judgements(reader, row.get("judgements"))
    row_id, prompt_id, genre = reader.text("id"), reader.text("prompt_id"), reader.text("genre")
    reader.check_names()
    if judgements and clarity is not None:
        reader.problem("clarity", "stated beside judgements, which have their own; keep one of the two")
    readings = {judgement.preference for judgement in judgements}
    if len(readings) == 1 and preference not in readings:
        reader.problem("preference", f"is {preference!r}, but every judgement says {next(iter(readings))!r}")
    if a and a == b and preference != "tie":
        reader.problem("b", "is the same text as 'a', of which neither can be better")
    if reader.problems:
        return reader.problems
    return Comparison(
        prompt=prompt, a=a, b=b, preference=preference,  # type: ignore[arg-type]  # one_of has checked it
        judgements=judgements or (Judgement(preference, clarity),),  # type: ignore[arg-type]
        id=row_id or short_hash(prompt, a, b), prompt_id=prompt_id or short_hash(prompt), genre=genre or None,
    )  # fmt: skip


def _judgements(reader: FieldReader, value: object) -> tuple[Judgement, ...]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or not value:
        reader.problem("judgements", f"must be a list of readings, not {shown(value)}")
        return ()
    found = []
    for number, item in enumerate(value):
        field = f"judgements[{number}]"
        if not isinstance(item, Mapping) or item.get("preference") not in PREFERENCES:
            reader.problem(field, f"must have a preference of {', '.join(PREFERENCES)}, is {shown(item)}")
            continue
        clarity = _clarity(reader, item.get("clarity"), item["preference"], field=f"{field}.clarity")
        found.append(Judgement(item["preference"], clarity))
    return tuple(found)


def _clarity(reader: FieldReader, value: object, preference: str, *, field: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        reader.problem(field, f"must be a whole number, not {shown(value)}")
    elif preference == "tie" and value != 0:
        reader.problem(field, f"must be 0 for a tie, is {value}")
    elif preference in ("a", "b") and not 1 <= value <= CLEAREST:
        reader.problem(field, f"must be 1 to {CLEAREST} for a preference, is {value}")
    else:
        return value
    return None
