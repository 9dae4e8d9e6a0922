import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from datamodules.reading import read
from datamodules.schema import LabelledCompletion
from nines.errors import DataError

ROWS: list[dict[str, Any]] = [
    {
        "prompt": f'He ran, prompt {number}.\nThen: "stop"', "completion": ["NA", "null", "He fell, hard."][number % 3],
        "label": ["yes", "no", "unsure"][number % 3], "source": "generated", "labels": ["yes", "no"],
        "selection_probability": 0.25, "drawn": number + 1,
    }
    for number in range(30)
]  # fmt: skip


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows({**row, "labels": "|".join(row["labels"])} if "labels" in row else row for row in rows)
    else:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def by_id(splits: dict[str, list[LabelledCompletion]]) -> dict[str, tuple[str, LabelledCompletion]]:
    return {row.id: (name, row) for name, rows in splits.items() for row in rows}


def test_all_formats_give_the_same_rows_in_the_same_splits(tmp_path: Path) -> None:
    results = [by_id(read(str(write(tmp_path / f"rows{suffix}", ROWS)))) for suffix in (".jsonl", ".csv", ".parquet")]
    assert len(results[0]) == 30
    assert results[0] == results[1] == results[2]
    assert {name for name, _ in results[0].values()} == {"train", "valid", "test"}


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_a_folder_keeps_its_own_splits(suffix: str, tmp_path: Path) -> None:
    for number, name in enumerate(("train", "valid", "test")):
        write(tmp_path / f"{name}{suffix}", ROWS[number * 10 : number * 10 + 10])
    splits = read(str(tmp_path))
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 10, "valid": 10, "test": 10}
    assert splits["valid"][0].drawn == 11


def test_the_hub_path_gives_the_same_rows_as_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`datasets` treats a local folder of files as it treats a repository of the hub."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    for name, rows in (("train", ROWS[:20]), ("validation", ROWS[20:25]), ("test", ROWS[25:])):
        write(tmp_path / "hub" / f"{name}.jsonl", rows)
    splits = read(f"hub:{tmp_path / 'hub'}")
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 20, "valid": 5, "test": 5}
    write(tmp_path / "train.jsonl", ROWS[:20])
    assert splits["train"] == read(str(tmp_path))["train"]


def test_a_hub_data_set_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the hub gave no data set") as caught:
        read(f"hub:{tmp_path}/nothing")
    assert "\n" not in str(caught.value)


def test_the_embedded_data_has_the_counts_that_its_description_states() -> None:
    splits = read("embedded:injury")
    counts = {
        name: Counter((row.source, row.label) for row in rows)
        for name, rows in splits.items()
        if name in ("train", "test")
    }
    assert counts["train"] == {
        ("generated", "yes"): 53, ("generated", "no"): 1490, ("generated", "unsure"): 31,
        ("written", "yes"): 509, ("written", "no"): 502, ("written", "unsure"): 3,
        ("plain", "yes"): 1014, ("plain", "no"): 1014,
    }  # fmt: skip
    assert counts["test"]["generated", "yes"] == 29
    assert (len(splits["adversarial"]), len(splits["minimal_pairs"])) == (100, 50)


def test_three_bad_rows_show_three_messages_at_once_with_file_line_and_field(tmp_path: Path) -> None:
    good = {"prompt": "He ran.", "completion": "He fell.", "label": "no"}
    rows = [good, {**good, "label": "maybe"}, good, {**good, "prompt": None}, {**good, "completion": 7}]
    path = write(tmp_path / "train.jsonl", rows)
    with pytest.raises(DataError) as caught:
        read(str(tmp_path))
    assert caught.value.problems == (
        f"{path}, line 2, field 'label': unknown value 'maybe'; valid: no, unsure, yes",
        f"{path}, line 4, field 'prompt': missing",
        f"{path}, line 5, field 'completion': must be text, not 7 (int)",
    )


def test_problems_of_several_files_and_of_broken_lines_show_together(tmp_path: Path) -> None:
    good = json.dumps({"prompt": "He ran.", "completion": "He fell.", "label": "no"}).encode()
    (tmp_path / "train.jsonl").write_bytes(good + b'\n{"prompt": \n\n[1]\n' + b'{"prompt": "\xff"}\n')
    (tmp_path / "valid.jsonl").write_bytes(b"{}\n")
    with pytest.raises(DataError) as caught:
        read(str(tmp_path))
    text = str(caught.value)
    assert "train.jsonl, line 2: is not JSON: Expecting value" in text
    assert "train.jsonl, line 4: must be an object, not a list" in text
    assert "train.jsonl, line 5: is not UTF-8" in text
    assert len([problem for problem in caught.value.problems if "valid.jsonl, line 1, field" in problem]) == 3


def test_a_flood_of_problems_is_cut_but_counted(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", [{"prompt": "a", "completion": "b", "label": "x"}] * 80)
    with pytest.raises(DataError, match="80 problems") as caught:
        read(str(tmp_path))
    assert len(caught.value.problems) == 51
    assert caught.value.problems[-1] == "… and 30 more"


def test_csv_lines_are_counted_past_cells_that_span_lines(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        'prompt,completion,label\n"two\nlines",c,no\n\nx,y,bad\nx,y\n"open,c,no\n', encoding="utf-8"
    )
    with pytest.raises(DataError) as caught:
        read(str(tmp_path / "a.csv"))
    where = [problem.split(": ")[0].rpartition("a.csv, ")[2] for problem in caught.value.problems]
    assert where == ["line 5, field 'label'", "line 6", "line 7"]


def test_numbers_that_are_none_in_a_csv_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "prompt,completion,label,selection_probability,drawn\nx,y,no,half,3\n", encoding="utf-8"
    )
    with pytest.raises(DataError, match=r"line 2, field 'selection_probability': must be a number, not 'half' \(str\)"):
        read(str(tmp_path / "a.csv"))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_missing_column_is_said_once_for_the_file(suffix: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"a{suffix}", [{"prompt": "x", "label": "no"}] * 5)
    with pytest.raises(DataError, match="no column 'completion'") as caught:
        read(str(path))
    assert len(caught.value.problems) == 1


def test_a_file_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("nothing of the kind")
    with pytest.raises(DataError, match=r"a.parquet: is not Parquet"):
        read(str(tmp_path / "a.parquet"))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere.jsonl", "there is no data at nowhere.jsonl"),
        ("embedded:injuri", "no embedded data set 'injuri'; did you mean 'injury'"),
    ],
)
def test_data_that_is_not_there_is_one_line_that_says_what_to_do(source: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(source)
    assert "\n" not in str(caught.value)


def test_a_folder_without_splits_names_the_files_that_it_has(tmp_path: Path) -> None:
    write(tmp_path / "validation.jsonl", ROWS)
    with pytest.raises(DataError, match=r"holds no train, valid or test file .* only validation.jsonl; rename"):
        read(str(tmp_path))


def test_two_files_of_one_split_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", ROWS)
    write(tmp_path / "train.csv", ROWS)
    with pytest.raises(DataError, match=r"train.jsonl and train.csv: keep one"):
        read(str(tmp_path))


def test_a_split_without_rows_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", ROWS)
    (tmp_path / "valid.jsonl").write_text("\n")
    with pytest.raises(DataError, match="valid has no rows"):
        read(str(tmp_path))


def test_another_format_is_refused_with_those_that_are_read(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text("[]")
    with pytest.raises(DataError, match=r"did you mean '.jsonl'"):
        read(str(tmp_path / "rows.json"))
