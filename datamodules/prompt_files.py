"""Prompts without completions: out of files, by split, and divided among those who must not see each other's."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from datamodules.formats import SUFFIXES, raw_rows
from datamodules.locations import HUB, SPLITS, locate
from datamodules.reading import SHOWN_PROBLEMS, read
from datamodules.schema import normalised, short_hash
from datamodules.splitting import DEFAULT_SHARES, Row, Shares
from nines.errors import ConfigError, DataError, nearest

TEXT = ".txt"


@dataclass(frozen=True, slots=True)
class Prompt:
    """The story so far.

    Attributes:
        text: What a completion continues.
        id: Name of the prompt; by default a hash of its text.
        genre: Genre of the story, if known.
        risk: How easily the scene could turn injurious, if known: low, medium or high.
    """

    text: str
    id: str
    genre: str | None = None
    risk: str | None = None


def read_prompts(source: str, *, shares: Shares = DEFAULT_SHARES) -> dict[str, list[Prompt]]:
    """The distinct prompts of each split of `source`.

    Args:
        source: A `.txt` file with one prompt a line; a `.jsonl`, `.csv` or `.parquet` file with the column `prompt`
            (and `split`, `prompt_id`, `genre`, `risk` if known); a folder that holds such a file named `prompts`; or
            anything that `datamodules.reading.read` takes, whose prompts are used.
        shares: Of the prompts, for train, valid and test, where the file names no splits.

    Raises:
        DataError: There is nothing there, a row has no prompt, or a prompt lies in several splits.
    """
    file = None if source.startswith(HUB) else _prompt_file(locate(source))
    if file is not None:
        found = _from_file(file, shares)
    else:
        rows = read(source, shares=shares)
        found = [
            (name, Prompt(row.prompt, row.prompt_id, row.genre, row.risk))
            for name in SPLITS
            for row in rows.get(name, ())
        ]
    splits: dict[str, list[Prompt]] = {}
    home: dict[str, str] = {}
    for split, prompt in found:
        known = home.setdefault(normalised(prompt.text), split)
        if known != split:
            raise DataError(f"{source}: a prompt lies in {known} and in {split}: {prompt.text[:60]!r}")
        splits.setdefault(split, []).append(prompt)
    return {name: _distinct(prompts) for name, prompts in splits.items()}


def within_share(prompts: Sequence[Prompt], share: tuple[float, float], *, purpose: str = "share") -> list[Prompt]:
    """Those whose hashed text falls into `share`, in their order: disjoint shares have no prompt in common.

    Args:
        prompts: Of one split.
        share: Start and end, `0 <= start < end <= 1`, of the prompts in expectation; the end does not belong to it.
        purpose: Name of the division; another name divides independently.

    Raises:
        ConfigError: The share is none.
    """
    start, end = check_share(share)
    return [prompt for prompt in prompts if start <= place(prompt.text, purpose) < end]


def rows_within_share(rows: Sequence[Row], share: Sequence[float]) -> list[Row]:
    """The rows whose prompts `within_share` keeps: shares divide rows of any kind as they divide bare prompts.

    Raises:
        ConfigError: The share is none.
    """
    start, end = check_share(share)
    return [row for row in rows if start <= place(row.prompt, "share") < end]


def check_share(share: Sequence[float]) -> tuple[float, float]:
    """`share` as a pair.

    Raises:
        ConfigError: It is no `[start, end]` with `0 <= start < end <= 1`.
    """
    if len(share) != 2 or not 0 <= share[0] < share[1] <= 1:
        raise ConfigError(f"a share of the prompts is [start, end] with 0 <= start < end <= 1, got {list(share)}")
    return float(share[0]), float(share[1])


def place(text: str, purpose: str) -> float:
    """Where in [0, 1) a prompt stands, whatever other prompts there are."""
    digest = hashlib.sha256(f"{purpose}/{normalised(text)}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _prompt_file(location: Path) -> Path | None:
    """The file of bare prompts at `location`, None where it holds labelled completions."""
    if location.is_dir():
        return next(
            (location / f"prompts{end}" for end in (*SUFFIXES, TEXT) if (location / f"prompts{end}").is_file()), None
        )
    if location.suffix == TEXT:
        return location
    first = next(raw_rows(location, required=("prompt",)), None)
    return location if first is None or "completion" not in first.values else None


def _from_file(file: Path, shares: Shares) -> list[tuple[str, Prompt]]:
    found: list[tuple[str, Prompt]] = []
    problems: list[str] = []
    if file.suffix == TEXT:
        texts = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
        found = [(_split_of(text, shares), Prompt(text, short_hash(text))) for text in texts if text]
    else:
        for row in raw_rows(file, required=("prompt",)):
            text, split = row.values.get("prompt"), row.values.get("split")
            if row.problem is not None:
                problems.append(f"{row.where}: {row.problem}")
            elif not (isinstance(text, str) and text.strip()):
                problems.append(f"{row.where}: field 'prompt' must be a text that is not empty")
            elif split is not None and split not in SPLITS:
                problems.append(f"{row.where}: unknown split {split!r}; {nearest(str(split), SPLITS)}")
            else:
                values = row.values
                prompt = Prompt(
                    text, str(values.get("prompt_id") or short_hash(text)), values.get("genre"), values.get("risk")
                )
                found.append((split or _split_of(text, shares), prompt))
    if problems:
        raise DataError(f"{file}: {len(problems)} problems with the prompts", problems[:SHOWN_PROBLEMS])
    if not found:
        raise DataError(f"{file} holds no prompt")
    return found


def _split_of(text: str, shares: Shares) -> str:
    where = place(text, "split")
    return "train" if where < shares[0] else "valid" if where < shares[0] + shares[1] else "test"


def _distinct(prompts: Iterable[Prompt]) -> list[Prompt]:
    """One of each text, the first."""
    first: dict[str, Prompt] = {}
    for prompt in prompts:
        first.setdefault(normalised(prompt.text), prompt)
    return list(first.values())
