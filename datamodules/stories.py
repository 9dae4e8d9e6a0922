"""Fiction for a language model out of files and folders: completions of prompts, and stories cut into sections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from datamodules.formats import SUFFIXES, RawRow, raw_rows
from datamodules.locations import HUB, SPLITS, locate
from datamodules.prompt_files import place
from datamodules.reading import all_at_once, hub_rows, read
from datamodules.schema import FIELDS as LABELLED_FIELDS
from datamodules.schema import UNSTATED, FieldReader, short_hash
from datamodules.splitting import DEFAULT_SHARES, Shares
from nines.errors import DataError

TEXT = ".txt"
SECTION_CHARACTERS = 4000
"""A story is divided into sections of about this length: they are shuffled, and split, one by one."""
FIELDS = (*LABELLED_FIELDS, "text", "split")


@dataclass(frozen=True, slots=True)
class Story:
    """A text to learn, or a completion and the prompt before it.

    Attributes:
        text: The text, or the completion.
        prompt: What the completion continues, "" for a text that stands for itself.
        source: Author, collection or way of writing: what weights and reports are by.
        label: yes, no or unsure, None where the data do not say.
        ends: Whether the story ends with this text; False for a section that goes on.
    """

    text: str
    prompt: str
    source: str
    label: str | None = None
    ends: bool = True

    @property
    def id(self) -> str:
        """A hash of prompt and text."""
        return short_hash(self.prompt, self.text)

    @property
    def prompt_id(self) -> str:
        """A hash of what must lie in one split."""
        return short_hash(self.group)

    @property
    def group(self) -> str:
        """What must lie in one split: the prompt, or the text itself."""
        return self.prompt or self.text


def read_stories(path: str, *, shares: Shares = DEFAULT_SHARES) -> dict[str, list[Story]]:
    """The stories of each split of `path`.

    Args:
        path: Labelled completions as `datamodules.reading.read` takes them (`embedded:injury`, `hub:…`, a file, a
            folder with splits); a `.jsonl`, `.csv` or `.parquet` file with `prompt` and `completion`, or `text`, and
            `source` if known; a `.txt` file with one story; or a folder of such files, below which the first level of
            folders names the sources, and files named train, valid and test are these splits.
        shares: Of the prompts and sections, for train, valid and test, where the data name no splits.

    Raises:
        DataError: There is nothing there, or rows lack a text.
    """
    problems: list[str] = []
    splits: dict[str, list[Story]] = {}
    for split, story in _stories(path, problems):
        splits.setdefault(split or _split_of(story, shares), []).append(story)
    if problems:
        raise all_at_once(path, problems)
    if not splits:
        raise DataError(f"{path} holds no story: no {TEXT} file, and no rows with a text")
    return {name: splits[name] for name in SPLITS if name in splits}


def sections(text: str, *, characters: int = SECTION_CHARACTERS) -> list[str]:
    """`text` in pieces of at least `characters`, each of whole paragraphs; the last may be shorter.

    Paragraphs that are longer stay whole: the tokenizer cuts them.
    """
    found: list[str] = []
    held: list[str] = []
    size = 0
    for paragraph in text.split("\n\n"):
        if not paragraph.strip():
            continue
        held.append(paragraph.strip("\n"))
        size += len(paragraph)
        if size >= characters:
            found.append("\n\n".join(held))
            held, size = [], 0
    return [*found, "\n\n".join(held)] if held else found


def _stories(path: str, problems: list[str]) -> Iterator[tuple[str | None, Story]]:
    if path.startswith(HUB):
        for split, rows in hub_rows(path.removeprefix(HUB)).items():
            yield from ((split, story) for story in _of_rows(rows, problems, UNSTATED))
        return
    location = locate(path)
    if location.is_dir() and (location / "labelled").is_dir():
        for split, labelled in read(path).items():
            if split in SPLITS:
                yield from ((split, Story(row.completion, row.prompt, row.source, row.label)) for row in labelled)
    elif location.is_dir():
        for file in sorted(found for found in location.rglob("*") if found.suffix in (*SUFFIXES, TEXT)):
            inside = file.relative_to(location).parts
            source = inside[0] if len(inside) > 1 else location.name
            yield from _of_file(file, source, problems)
    else:
        yield from _of_file(location, location.stem, problems)


def _of_file(file: Path, source: str, problems: list[str]) -> Iterator[tuple[str | None, Story]]:
    split = file.stem if file.stem in SPLITS else None
    if file.suffix == TEXT:
        yield from ((split, story) for story in _of_text(file.read_text(encoding="utf-8"), source))
    else:
        named = UNSTATED if split else source
        yield from ((split, story) for story in _of_rows(raw_rows(file, required=()), problems, named))


def _of_text(text: str, source: str, prompt: str = "", label: str | None = None) -> Iterator[Story]:
    pieces = sections(text)
    for number, piece in enumerate(pieces, 1):
        yield Story(piece, prompt, source, label, ends=number == len(pieces))


def _of_rows(rows: Iterable[RawRow], problems: list[str], source: str) -> Iterator[Story]:
    for row in rows:
        if row.problem is not None:
            problems.append(f"{row.where}: {row.problem}")
            continue
        reader = FieldReader(row.values, row.where, fields=FIELDS)
        is_story = row.values.get("text") is not None
        prompt = "" if is_story else reader.text("prompt", required=True)
        text = reader.text("text" if is_story else "completion", required=True)
        named, label = reader.text("source") or source, reader.text("label") or None
        reader.check_names()
        problems.extend(reader.problems)
        if not reader.problems:
            yield from _of_text(text, named, label=label) if is_story else [Story(text, prompt, named, label)]


def _split_of(story: Story, shares: Sequence[float]) -> str:
    where = place(story.group, "split")
    return "train" if where < shares[0] else "valid" if where < shares[0] + shares[1] else "test"
