import json
from pathlib import Path
from typing import Any

import pytest

from datamodules.judged_draws import read_judged_draws
from datamodules.reading import read
from nines.errors import DataError


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pairs = [
        {"prompt": "One.", "prompt_id": "p1", "a": "A.", "b": "B.", "preference": "a"},
        {"prompt": "One.", "prompt_id": "p1", "a": "C.", "b": "A.", "preference": "tie"},
        {"prompt": "Two.", "prompt_id": "p2", "a": "D.", "b": "E.", "preference": "b"},
    ]
    for split in ("train", "valid"):
        write(tmp_path / "comparisons" / f"{split}.jsonl", pairs)
    row = {"prompt": "One.", "prompt_id": "p1", "label": "no"}
    generated = {**row, "completion": "A.", "source": "generated", "selection_probability": 1.0, "drawn": 3}
    written = {**row, "completion": "Never drawn.", "source": "written"}
    write(tmp_path / "labelled" / "train.jsonl", [written])
    write(tmp_path / "labelled" / "valid.jsonl", [generated, written])
    pool = [("p1", "B."), ("p1", "F."), ("p3", "Of another prompt.")]
    write(tmp_path / "unlabelled.jsonl", [{"prompt_id": prompt, "completion": text} for prompt, text in pool])
    return tmp_path


def test_the_draws_of_a_prompt_are_the_generated_rows_the_pool_and_the_pairs(folder: Path) -> None:
    found = read_judged_draws(str(folder), "valid", labelled=read(str(folder))["valid"])
    assert found.texts == [
        ("One.", "A."),
        ("One.", "B."),
        ("One.", "F."),
        ("One.", "C."),
        ("Two.", "D."),
        ("Two.", "E."),
    ]
    assert found.prompts == ["p1"] * 4 + ["p2"] * 2
    assert found.pairs == [(0, 1, 1.0), (3, 0, 0.5), (4, 5, 0.0)]


def test_a_pool_may_name_its_prompts_by_text(folder: Path) -> None:
    write(folder / "more.jsonl", [{"prompt": "Two.", "completion": "G."}])
    found = read_judged_draws(str(folder), "valid", labelled=[], pool=str(folder / "more.jsonl"))
    assert ("Two.", "G.") in found.texts


def test_what_is_missing_is_named(folder: Path) -> None:
    with pytest.raises(DataError, match="no comparisons of split 'test'"):
        read_judged_draws(str(folder), "test", labelled=[])
    (folder / "unlabelled.jsonl").unlink()
    with pytest.raises(DataError, match=r"unlabelled\.jsonl; give pool="):
        read_judged_draws(str(folder), "valid", labelled=[])
    write(folder / "bad.jsonl", [{"prompt_id": "p1", "completion": 3}])
    with pytest.raises(DataError, match="must be text"):
        read_judged_draws(str(folder), "valid", labelled=[], pool=str(folder / "bad.jsonl"))


def test_every_judged_pair_of_the_embedded_data_is_among_its_draws() -> None:
    labelled = read("embedded:injury")["valid"]
    found = read_judged_draws("embedded:injury", "valid", labelled=labelled)
    assert len(found.pairs) > 200
    assert len(set(found.prompts)) == 117
    # Nothing had to be added: the pairs come from the draws.
    pool = {row.completion for row in labelled if row.source == "generated"}
    assert sum(text in pool for _, text in found.texts) > 500
