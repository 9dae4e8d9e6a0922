"""Files of labelling: the pool that items are drawn from, plans that ask for labels, and answers.

All are JSON Lines. A plan has a row for each item to label, with `label` null until somebody answers yes, no or unsure.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.formats import RawRow, raw_rows
from datamodules.schema import FIELDS, LABELS, FieldReader, short_hash
from nines.errors import DataError

POOL_FIELDS = ("id", "prompt_id", "prompt", "completion", "score", "finished")
PLAN_FIELDS = (
    *FIELDS, "score", "stratum", "round", "seed", "share", "round_probability", "heaviest", "importance",
    "expected_weight",
)  # fmt: skip
NUMBERS = ("share", "heaviest", "importance", "expected_weight")
SHOWN = 50
UNANSWERED = f"missing: nobody has answered; give one of {', '.join(LABELS)}"


@dataclasses.dataclass(frozen=True)
class Pool:
    """Completions that may be labelled.

    Attributes:
        rows: What the file says of each, with `id` and `prompt_id` filled in.
        prompts: Number of each one's prompt, `(N,)`.
        drawn: How many completions its prompt has in the pool, `(N,)`.
        finished: Whether each is whole, `(N,)`.
    """

    rows: list[dict[str, Any]]
    prompts: NDArray[np.int64]
    drawn: NDArray[np.int64]
    finished: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.rows)


@dataclasses.dataclass(frozen=True)
class PlannedItem:
    """One row of a plan.

    Attributes:
        where: File and line.
        id: Of the item.
        label: yes, no or unsure; "" where nobody answered.
        round: Number of its round, from 1.
        round_probability: With which it was drawn in that round, in (0, 1].
        share: What part of the pool it is.
        heaviest: Largest share over probability of any item that the round could have drawn.
        importance: The planned number of labels of the round.
        expected_weight: What a failure of the round weighs on average if the scores are right.
        prompt_id: Its prompt.
        values: The whole row.
    """

    where: str
    id: str
    label: str
    round: int
    round_probability: float
    share: float
    heaviest: float
    importance: float
    expected_weight: float
    prompt_id: str
    values: Mapping[str, Any]


def read_pool(path: Path) -> Pool:
    """The completions of a JSON Lines file: `prompt` and `completion`, perhaps `score`, `finished` and names.

    Raises:
        DataError: There is no such file, it is empty, or rows are wrong: each with its line.
    """
    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    places: dict[str, str] = {}
    for raw in _rows(path):
        if raw.problem is not None:
            problems.append(f"{raw.where}: {raw.problem}")
            continue
        reader = FieldReader(raw.values, raw.where, fields=POOL_FIELDS)
        prompt, completion = reader.text("prompt", required=True), reader.text("completion", required=True)
        row_id = reader.text("id") or short_hash(prompt, completion)
        prompt_id = reader.text("prompt_id") or short_hash(prompt)
        _number(reader, "score")
        finished = raw.values.get("finished")
        if finished is not None and not isinstance(finished, bool):
            reader.problem("finished", "must be true or false")
        if row_id in places:
            reader.problem("id", f"{row_id!r} is in {places[row_id]}, too; give rows that are alike ids of their own")
        places[row_id] = raw.where
        problems += reader.problems
        rows.append({**raw.values, "id": row_id, "prompt_id": prompt_id})
    _refuse(path, problems)
    if not rows:
        raise DataError(f"{path} holds no completion")
    _, prompts, counts = np.unique([row["prompt_id"] for row in rows], return_inverse=True, return_counts=True)
    finished_rows = np.array([row.get("finished", True) is not False for row in rows])
    return Pool(rows, prompts.astype(np.int64), counts[prompts].astype(np.int64), finished_rows)


def read_plans(paths: Sequence[Path], *, answered: bool = True) -> list[PlannedItem]:
    """The rows of plans, in the order of the files.

    Args:
        paths: The files; together they hold each item once.
        answered: Refuse rows without a label.

    Raises:
        DataError: Rows are wrong, double or without an answer: each with its file and line.
    """
    items: list[PlannedItem] = []
    problems: list[str] = []
    places: dict[str, str] = {}
    for path in paths:
        for raw in _rows(path):
            if raw.problem is not None:
                problems.append(f"{raw.where}: {raw.problem}")
                continue
            reader = FieldReader(raw.values, raw.where, fields=PLAN_FIELDS)
            row_id = reader.text("id", required=True)
            label = reader.one_of("label", LABELS)
            if answered and raw.values.get("label") is None:
                reader.problem("label", UNANSWERED)
            if row_id in places:
                reader.problem("id", f"{row_id!r} is in {places[row_id]}, too: an item is labelled once")
            places[row_id or raw.where] = raw.where
            number = reader.count("round")
            chance = reader.probability("round_probability")
            numbers = {name: _number(reader, name, required=True, positive=True) for name in NUMBERS}
            for name, value in (("round", number), ("round_probability", chance)):
                if value is None and raw.values.get(name) is None:
                    reader.problem(name, "missing: this is no file of `nines label plan`")
            problems += reader.problems
            if not reader.problems:
                items.append(
                    PlannedItem(
                        where=raw.where, id=row_id, label=label, round=number or 1, round_probability=chance or 1.0,
                        prompt_id=str(raw.values.get("prompt_id") or row_id), values=raw.values, **numbers,
                    )
                )  # fmt: skip
    _refuse(paths[0] if len(paths) == 1 else Path(f"{paths[0]} and others"), problems)
    return items


def with_answers(items: Sequence[PlannedItem], paths: Sequence[Path]) -> list[PlannedItem]:
    """The planned items with the labels of files that hold `id` and `label`.

    Raises:
        DataError: An answer is wrong, double or to an item that was not planned, or an item has none: each with file
            and line.
    """
    labels: dict[str, str] = {}
    places: dict[str, str] = {}
    problems: list[str] = []
    planned = {item.id for item in items}
    for path in paths:
        for raw in _rows(path):
            if raw.problem is not None:
                problems.append(f"{raw.where}: {raw.problem}")
                continue
            reader = FieldReader(raw.values, raw.where, fields=PLAN_FIELDS)
            row_id, label = reader.text("id", required=True), reader.one_of("label", LABELS, required=True)
            if row_id and row_id not in planned:
                reader.problem("id", f"{row_id!r} is in none of the plans")
            if row_id in places:
                reader.problem("id", f"{row_id!r} is answered in {places[row_id]}, too")
            places[row_id or raw.where] = raw.where
            problems += reader.problems
            labels[row_id] = label
    problems += [f"{item.where}, id {item.id!r}: {UNANSWERED}" for item in items if item.id not in places]
    _refuse(paths[0], problems)
    return [dataclasses.replace(item, label=labels[item.id]) for item in items]


def _rows(path: Path) -> Iterator[RawRow]:
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    if path.suffix != ".jsonl":
        raise DataError(f"{path}: labelling works on JSON Lines, in files that end in .jsonl")
    return raw_rows(path, required=())


def _number(reader: FieldReader, field: str, *, required: bool = False, positive: bool = False) -> float:
    """A finite number; 0 if there is none, or if it is a problem."""
    value = reader.row.get(field)
    if value is None:
        if required:
            reader.problem(field, "missing: this is no file of `nines label plan`")
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        reader.problem(field, f"must be a number, not {value!r}")
        return 0.0
    if positive and not value > 0:
        reader.problem(field, f"must be above 0, is {value}")
        return 0.0
    return float(value)


def _refuse(path: Path, problems: Sequence[str]) -> None:
    if problems:
        more = [f"… and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        count = "one problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise DataError(f"{path}: {count} with the rows", [*problems[:SHOWN], *more])
