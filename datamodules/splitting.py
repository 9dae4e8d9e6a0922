"""Splits by prompt, never by row: making them, and finding prompts that lie in more than one."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from datamodules.schema import normalised
from nines.errors import ConfigError, DataError


class NamedRow(Protocol):
    """A row of any kind that has a name."""

    @property
    def id(self) -> str:
        """Name of the row."""


class PromptRow(NamedRow, Protocol):
    """A row that continues a prompt."""

    @property
    def prompt_id(self) -> str:
        """Name of the prompt."""

    @property
    def prompt(self) -> str:
        """Text of the prompt."""


Row = TypeVar("Row", bound=PromptRow)
Named = TypeVar("Named", bound=NamedRow)
Shares = Sequence[float]
DEFAULT_SHARES: Final = (0.8, 0.1, 0.1)


@dataclass(frozen=True)
class Leak:
    """A prompt whose completions lie in several splits.

    Attributes:
        prompt: The prompt's text in one of them.
        rows: Split to the number of its rows there.
    """

    prompt: str
    rows: Mapping[str, int]


def prompt_groups(rows: Sequence[PromptRow]) -> list[int]:
    """A number for each row; rows have the same one if they share a prompt by name or by (normalised) text.

    Rows that are linked by others count as one group too. Numbers are those of first appearance.
    """
    parents: list[int] = []
    known: dict[tuple[str, str], int] = {}

    def root(group: int) -> int:
        while parents[group] != group:
            parents[group] = group = parents[parents[group]]
        return group

    groups: list[int] = []
    for row in rows:
        keys = (("name", row.prompt_id), ("text", normalised(row.prompt)))
        met = sorted({root(known[key]) for key in keys if key in known})
        if not met:
            met = [len(parents)]
            parents.append(met[0])
        for other in met[1:]:
            parents[other] = met[0]
        for key in keys:
            known[key] = met[0]
        groups.append(met[0])
    numbers: dict[int, int] = {}
    return [numbers.setdefault(root(group), len(numbers)) for group in groups]


def split_by_prompt(rows: Sequence[Row], *, shares: Shares = DEFAULT_SHARES) -> dict[str, list[Row]]:
    """Rows into train, valid and test, all rows of a prompt into one; decided by a hash of the prompt's text.

    Args:
        rows: Any rows, in any order; a row that is added later moves no other prompt.
        shares: Of the prompts, in expectation, for train, valid and test; they sum to 1.

    Raises:
        ConfigError: The shares are no shares.
    """
    check_shares(shares)
    groups = prompt_groups(rows)
    first_text: dict[int, str] = {}
    for row, group in zip(rows, groups, strict=True):
        text = normalised(row.prompt)
        first_text[group] = min(text, first_text.get(group, text))
    splits: dict[str, list[Row]] = {"train": [], "valid": [], "test": []}
    for row, group in zip(rows, groups, strict=True):
        digest = hashlib.sha256(first_text[group].encode()).digest()
        place = int.from_bytes(digest[:8], "big") / 2**64
        splits["train" if place < shares[0] else "valid" if place < shares[0] + shares[1] else "test"].append(row)
    return {name: kept for name, kept in splits.items() if kept}


def leaks(splits: Mapping[str, Sequence[PromptRow]]) -> list[Leak]:
    """The prompts that lie in more than one of `splits`, by name or by text."""
    names = [name for name, rows in splits.items() for _ in rows]
    rows = [row for split in splits.values() for row in split]
    counts: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    prompts: dict[int, str] = {}
    for name, row, group in zip(names, rows, prompt_groups(rows), strict=True):
        counts[group][name] += 1
        prompts.setdefault(group, row.prompt)
    return [Leak(prompts[group], dict(found)) for group, found in counts.items() if len(found) > 1]


def check_shares(shares: Sequence[float]) -> None:
    """Do nothing if `shares` are three shares of a whole, the first above 0.

    Raises:
        ConfigError: They are not.
    """
    if len(shares) != 3 or min(shares) < 0 or shares[0] == 0 or abs(sum(shares) - 1) > 1e-6:
        raise ConfigError(f"shares {list(shares)} must be three shares (train, valid, test) that sum to 1")


def refuse_leaks(splits: Mapping[str, Sequence[PromptRow]], source: str) -> None:
    """Do nothing if no prompt lies in more than one split.

    Raises:
        DataError: One does: figures on the test split would flatter a model that has seen its prompts.
    """
    if leaking := leaks(splits):
        names = ", ".join(sorted({name for leak in leaking for name in leak.rows}))
        count = "one prompt lies" if len(leaking) == 1 else f"{len(leaking)} prompts lie"
        raise DataError(
            f"{source}: {count} in more than one split ({names}), such as {leaking[0].prompt[:60]!r}; "
            f"`nines data check {source}` lists them, datamodule.allow_leaks=true trains nevertheless"
        )


def limited(rows: list[Named], count: int | None) -> list[Named]:
    """At most `count` of `rows`, in their order, chosen by a hash of their ids; None for all."""
    if count is None or count >= len(rows):
        return rows
    chances = [hashlib.sha256(row.id.encode()).digest() for row in rows]
    chosen = sorted(sorted(range(len(rows)), key=lambda row: chances[row])[:count])
    return [rows[row] for row in chosen]
