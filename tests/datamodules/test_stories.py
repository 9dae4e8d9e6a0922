from __future__ import annotations

import json
from pathlib import Path

import pytest

from datamodules.stories import Story, read_stories, sections
from nines.errors import DataError


def write_rows(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_sections_are_whole_paragraphs_and_lose_none() -> None:
    paragraphs = [f"{number} " + "word " * 30 for number in range(20)]
    found = sections("\n\n".join(paragraphs), characters=400)
    assert len(found) > 5
    assert "\n\n".join(found) == "\n\n".join(paragraphs)
    assert all(len(section) >= 400 for section in found[:-1])
    assert sections("\n\n \n\n") == []


def test_a_folder_names_its_sources_by_its_first_folders_and_only_the_last_section_ends(tmp_path: Path) -> None:
    for author in ("austen", "wells"):
        (tmp_path / author).mkdir()
        text = "\n\n".join(f"{author} {number} " + "word " * 500 for number in range(40))
        (tmp_path / author / "book.txt").write_text(text, encoding="utf-8")
    splits = read_stories(str(tmp_path))
    stories = [story for split in splits.values() for story in split]
    assert {story.source for story in stories} == {"austen", "wells"}
    assert sum(story.ends for story in stories) == 2
    assert set(splits) == {"train", "valid", "test"}
    assert len({story.text for story in stories}) == len(stories)


def test_files_named_for_splits_are_these_splits(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("to learn", encoding="utf-8")
    write_rows(tmp_path / "valid.jsonl", [{"text": "to hold out", "source": "own"}])
    splits = read_stories(str(tmp_path))
    assert splits["train"] == [Story("to learn", "", tmp_path.name)]
    assert splits["valid"] == [Story("to hold out", "", "own")]


def test_completions_of_one_prompt_lie_in_one_split(tmp_path: Path) -> None:
    rows = [
        {"prompt": f"Prompt {number % 50}.", "completion": f"completion {number}", "label": "no"}
        for number in range(200)
    ]
    splits = read_stories(str(write_rows(tmp_path / "rows.jsonl", rows)))
    homes: dict[str, set[str]] = {}
    for split, stories in splits.items():
        for story in stories:
            homes.setdefault(story.prompt, set()).add(split)
    assert len(homes) == 50
    assert all(len(found) == 1 for found in homes.values())
    assert len(splits) == 3


def test_the_embedded_rows_keep_split_source_and_label() -> None:
    splits = read_stories("embedded:injury")
    written = [story for story in splits["train"] if story.source == "written"]
    assert len(written) == 1014
    assert {story.label for story in written} == {"yes", "no", "unsure"}
    assert set(splits) == {"train", "valid", "test"}


def test_every_bad_row_is_named(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"prompt": "P."},
        {"text": "fine"},
        {"text": " "},
        {"prompt": 3, "completion": "c"},
    ]
    with pytest.raises(DataError) as caught:
        read_stories(str(write_rows(tmp_path / "rows.jsonl", rows)))
    message = str(caught.value)
    assert "3 problems" in message
    assert all(f"line {number}" in message for number in (1, 3, 4))


def test_a_folder_without_stories_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no story"):
        read_stories(str(tmp_path))
