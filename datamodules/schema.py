"""The schema of a labelled completion: what a row must say, and one message for everything that it says wrongly.

Nothing is coerced: a number written as text, a label in capitals or a misspelled field is a problem, never a guess.
Only the standard library is imported, so that `nines data check` starts at once.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from nines.errors import nearest

Label = Literal["yes", "no", "unsure"]
LABELS: tuple[Label, ...] = get_args(Label)

GENERATED = "generated"
UNSTATED = "unstated"
RISKS = ("low", "medium", "high")
FIELDS = (
    "id", "prompt_id", "genre", "risk", "prompt", "completion", "label", "labels", "source", "tactic",
    "selection_probability", "drawn",
)  # fmt: skip
REQUIRED_FIELDS = ("prompt", "completion", "label")


@dataclass(frozen=True, slots=True)
class LabelledCompletion:
    """One prompt, one completion of it, and whether the completion is injurious.

    Attributes:
        prompt: The story so far.
        completion: The next sentence.
        label: `yes` (injurious), `no` (safe) or `unsure` (readers differ).
        id: Name of the row; by default a hash of prompt and completion.
        prompt_id: Name of the prompt, the unit of splits and of intervals; by default a hash of the prompt's text.
        source: Where the completion comes from; `generated` only with a selection probability, by default `generated`
            when there is one and `unstated` when there is none.
        genre: Genre of the story.
        risk: How easily the scene could turn injurious, judged by its writer: low, medium or high.
        tactic: How an adversarial row tries to fool a classifier.
        labels: The single readings behind `label`, in order.
        selection_probability: Chance with which this generated completion was picked for labelling, in (0, 1].
        drawn: How many completions were generated for the prompt, at least 1.
    """

    prompt: str
    completion: str
    label: Label
    id: str
    prompt_id: str
    source: str
    genre: str | None = None
    risk: str | None = None
    tactic: str | None = None
    labels: tuple[Label, ...] = ()
    selection_probability: float | None = None
    drawn: int | None = None

    @property
    def natural_weight(self) -> float:
        """`1 / (selection_probability * drawn)`: every prompt counts the same; 0 for what is no natural sample."""
        if self.selection_probability is None or self.drawn is None:
            return 0.0
        return 1.0 / (self.selection_probability * self.drawn)

    @property
    def label_number(self) -> int:
        """1 for injurious, 0 for safe, -1 for unsure."""
        return {"yes": 1, "no": 0, "unsure": -1}[self.label]


def short_hash(*texts: str) -> str:
    """Ten hexadecimal digits that stand for `texts`, each preceded by its length so that no two lists collide."""
    digest = hashlib.sha256()
    for text in texts:
        encoded = text.encode()
        digest.update(f"{len(encoded)}:".encode() + encoded)
    return digest.hexdigest()[:10]


def normalised(text: str) -> str:
    """`text` without differences of case and white space, for finding duplicates and leaking prompts."""
    return " ".join(text.casefold().split())


def parse(row: Mapping[str, Any], where: str, *, default_source: str | None = None) -> LabelledCompletion | list[str]:
    """The row as a `LabelledCompletion`, or one message for each of its problems.

    Args:
        row: Field names to values as they were read; None counts as absent. Fields that the schema does not know are
            left aside, unless their name is so close to a known one that a misspelling is likely.
        where: File and line (or row), put before each message.
        default_source: `source` of rows that name none.
    """
    reader = FieldReader(row, where)
    prompt, completion = reader.text("prompt", required=True), reader.text("completion", required=True)
    label = reader.one_of("label", LABELS, required=True)
    chance, drawn = reader.probability("selection_probability"), reader.count("drawn")
    source = reader.text("source") or default_source or (UNSTATED if chance is None else GENERATED)
    labels = reader.label_list("labels")
    row_id, prompt_id = reader.text("id"), reader.text("prompt_id")
    genre, risk, tactic = reader.text("genre"), reader.one_of("risk", RISKS), reader.text("tactic")
    reader.check_names()
    if source == GENERATED:
        for field in ("selection_probability", "drawn"):
            if row.get(field) is None:
                reader.problem(
                    field, f"missing, but a {GENERATED} row needs it; give it, or name another source if it is unknown"
                )
    elif chance is not None or drawn is not None:
        reader.problem("source", f"{source!r} with selection_probability or drawn, which only {GENERATED} rows have")
    if reader.problems:
        return reader.problems
    return LabelledCompletion(
        prompt=prompt, completion=completion, label=label,  # type: ignore[arg-type]  # one_of has checked it
        id=row_id or short_hash(prompt, completion), prompt_id=prompt_id or short_hash(prompt), source=source,
        genre=genre or None, risk=risk or None, tactic=tactic or None, labels=labels,
        selection_probability=chance, drawn=drawn,
    )  # fmt: skip


def parse_minimal_pair(row: Mapping[str, Any], where: str) -> list[LabelledCompletion] | list[str]:
    """The two rows of a minimal pair (`prompt`, `yes`, `no`), which share a prompt, or one message for each problem."""
    reader = FieldReader(row, where)
    prompt = reader.text("prompt", required=True)
    completions = {label: reader.text(label, required=True) for label in ("yes", "no")}
    if reader.problems:
        return reader.problems
    labels: tuple[Literal["yes", "no"], ...] = ("yes", "no")
    return [
        LabelledCompletion(
            prompt=prompt, completion=completions[label], label=label, labels=(label,), source="minimal_pair",
            id=short_hash(prompt, completions[label]), prompt_id=short_hash(prompt),
        )
        for label in labels
    ]  # fmt: skip


class FieldReader:
    """Takes fields out of one row and collects what is wrong with them; `fields` are the names that a row may have."""

    def __init__(self, row: Mapping[str, Any], where: str, *, fields: Sequence[str] = FIELDS) -> None:
        self.row = row
        self.where = where
        self.fields = fields
        self.problems: list[str] = []

    def problem(self, field: str, message: str) -> None:
        """Note what is wrong with `field`."""
        self.problems.append(f"{self.where}, field {field!r}: {message}")

    def text(self, field: str, *, required: bool = False) -> str:
        """A text that is not blank; "" if there is none, or if it is a problem."""
        value = self.row.get(field)
        if value is None:
            if required:
                self.problem(field, "missing")
            return ""
        if not isinstance(value, str):
            self.problem(field, f"must be text, not {shown(value)}")
        elif not value.strip():
            self.problem(field, "is empty")
        else:
            return value
        return ""

    def one_of(self, field: str, valid: tuple[str, ...], *, required: bool = False) -> str:
        """One of `valid`; "" if there is none."""
        count = len(self.problems)
        value = self.text(field, required=required)
        if value not in valid and (value or (required and len(self.problems) == count)):
            self.problem(field, f"unknown value {value!r}; {nearest(value, valid)}")
        return value

    def label_list(self, field: str) -> tuple[Label, ...]:
        """A list of labels."""
        value = self.row.get(field)
        if value is None:
            return ()
        if not isinstance(value, list | tuple):
            self.problem(field, f"must be a list of labels, not {shown(value)}")
            return ()
        for item in value:
            if item not in LABELS:
                self.problem(field, f"unknown value {item!r}; {nearest(str(item), LABELS)}")
        return tuple(value)

    def probability(self, field: str) -> float | None:
        """A number above 0 and at most 1."""
        value = self.row.get(field)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.problem(field, f"must be a number, not {shown(value)}")
        elif not 0 < value <= 1:
            self.problem(field, f"must be above 0 and at most 1, is {value}")
        else:
            return float(value)
        return None

    def count(self, field: str) -> int | None:
        """A whole number of at least 1."""
        value = self.row.get(field)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            self.problem(field, f"must be a whole number, not {shown(value)}")
        elif value < 1:
            self.problem(field, f"must be at least 1, is {value}")
        else:
            return value
        return None

    def check_names(self) -> None:
        """Note each field that is probably a misspelt one."""
        for name in self.row:
            if name not in self.fields and (
                close := difflib.get_close_matches(str(name), self.fields, n=1, cutoff=0.8)
            ):
                self.problem(str(name), f"unknown field; did you mean {close[0]!r}?")


def shown(value: object) -> str:
    """`value` and its type, short enough for one line."""
    text = repr(value)
    return f"{text if len(text) <= 40 else text[:37] + '...'} ({type(value).__name__})"
