import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from datamodules.comparison_reading import read_comparisons
from datamodules.comparisons import Comparisons
from nines.errors import CheckpointError, ConfigError, DataError


def tiny(**options: Any) -> Comparisons:
    sizes = {"batch_size": 4, "evaluation_batch_size": 8, "limit_rows": 40}
    return Comparisons(tokenizer="tiny:bert", max_tokens=128, **{**sizes, **options})


def written(folder: Path, rows: list[dict[str, Any]]) -> str:
    path = folder / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def own_rows(count: int = 60) -> list[dict[str, Any]]:
    return [
        {"prompt": f"Scene {row // 2}.", "a": f"First {row}.", "b": f"Second {row}.", "preference": "ab"[row % 2]}
        for row in range(count)
    ]


def test_the_embedded_comparisons_are_those_that_the_readme_counts() -> None:
    splits = read_comparisons("embedded:injury")
    counts = {
        name: tuple(sum(row.preference == side for row in rows) for side in ("a", "b", "tie"))
        for name, rows in splits.items()
    }
    assert counts == {"train": (995, 953, 80), "valid": (115, 110, 9), "test": (76, 69, 11)}
    assert all(judgement.clarity is not None for row in splits["test"] for judgement in row.judgements)


def test_no_prompt_of_the_embedded_comparisons_lies_in_two_splits() -> None:
    Comparisons(tokenizer="tiny:bert", max_tokens=128).setup("fit")


def test_one_file_is_split_by_prompt(tmp_path: Path) -> None:
    splits = read_comparisons(written(tmp_path, own_rows()), shares=(0.5, 0.25, 0.25))
    prompts = [{row.prompt for row in rows} for rows in splits.values()]
    assert len(splits) == 3
    assert sum(len(found) for found in prompts) == len(set.union(*prompts)) == 30


def test_bad_rows_are_listed_with_their_lines(tmp_path: Path) -> None:
    rows = own_rows(4)
    rows[1]["preference"], rows[3]["a"] = "c", ""
    with pytest.raises(DataError, match=r"2 problems.*\n.*line 2.*\n.*line 4"):
        read_comparisons(written(tmp_path, rows))


def test_columns_of_a_csv_file_are_read_with_their_clarity(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("prompt,a,b,preference,clarity\nP,x,y,a,3\nQ,x,y,tie,\n", encoding="utf-8")
    rows = [row for rows in read_comparisons(str(path)).values() for row in rows]
    assert sorted((row.prompt, row.judgements[0].clarity) for row in rows) == [("P", 3), ("Q", None)]


def test_which_completion_comes_first_is_random_but_fixed() -> None:
    first, again, other = tiny(limit_rows=None), tiny(limit_rows=None), tiny(limit_rows=None, seed=1)
    assert first.texts("valid") == again.texts("valid") != other.texts("valid")
    rows = first.comparisons("valid")
    swapped = [text[1] == row.b for text, row in zip(first.texts("valid"), rows, strict=True)]
    assert 0.4 < np.mean(swapped) < 0.6
    side = {"a": 1, "tie": 0, "b": -1}
    expected = [side[row.preference] * (-1 if swap else 1) for row, swap in zip(rows, swapped, strict=True)]
    assert first.judged("valid").outcomes.tolist() == expected


def test_a_batch_holds_both_completions_of_each_pair_with_every_reading() -> None:
    data = tiny()
    batch = next(iter(data.train_dataloader()))
    count = len(batch["row"])
    assert batch["input_ids"].shape[0] == 2 * count
    tokens = data.pairs("train")
    judged = data.judged("train")
    for place, row in enumerate(batch["row"].tolist()):
        for side in (0, 1):
            ids = batch["input_ids"][2 * place + side][batch["attention_mask"][2 * place + side]]
            start, end = tokens.offsets[2 * row + side : 2 * row + side + 2]
            assert ids.tolist() == tokens.input_ids[start:end].tolist()
        assert batch["outcome"][place].tolist() == judged.readings[row].tolist()
        assert batch["share"][place].tolist() == judged.shares[row].tolist()
        assert batch["clarity"][place].tolist() == judged.clarity[row].tolist()
    assert torch.equal(batch["share"].sum(1), torch.ones(count))


def test_two_readings_are_soft_targets_and_one_agreed_preference_on_request(tmp_path: Path) -> None:
    readings = [{"preference": "a", "clarity": 2}, {"preference": "b", "clarity": 1}]
    rows = [{**row, "preference": "tie", "judgements": readings} for row in own_rows()]
    path = written(tmp_path, rows)
    soft = next(iter(tiny(path=path, limit_rows=None).train_dataloader()))
    assert soft["share"].unique().tolist() == [0.5]
    assert soft["outcome"].sum(1).unique().tolist() == [0]
    assert sorted(soft["clarity"][0].tolist()) == [1, 2]
    agreed = next(iter(tiny(path=path, limit_rows=None, readings="agreed").train_dataloader()))
    assert (agreed["outcome"].unique().tolist(), agreed["share"].unique().tolist()) == ([0], [1.0])
    assert agreed["clarity"].unique().tolist() == [0]


def test_ties_can_be_left_out_of_training() -> None:
    everything, decided = tiny(limit_rows=300), tiny(limit_rows=300, ties=False)
    ties = int((everything.judged("train").outcomes == 0).sum())
    assert ties > 0

    def rows(data: Comparisons) -> list[int]:
        return sorted(int(row) for batch in data.train_dataloader() for row in batch["row"])

    assert len(rows(everything)) - len(rows(decided)) == ties
    assert (everything.judged("train").outcomes[rows(decided)] != 0).all()


def test_evaluation_goes_through_every_pair_once() -> None:
    data = tiny()
    rows = [int(row) for batch in data.val_dataloader() for row in batch["row"]]
    assert sorted(rows) == list(range(data.row_count("valid")))


def test_training_resumes_with_the_batch_where_it_stopped() -> None:
    loader = tiny().train_dataloader()
    whole = [batch["row"].tolist() for batch in loader]
    stopped = tiny().train_dataloader()
    passing = iter(stopped)
    seen = [next(passing)["row"].tolist() for _ in range(3)]
    resumed = tiny().train_dataloader()
    resumed.load_state_dict(stopped.state_dict())
    assert seen + [batch["row"].tolist() for batch in resumed] == whole
    with pytest.raises(CheckpointError, match="batch_size"):
        tiny(batch_size=5).train_dataloader().load_state_dict(stopped.state_dict())


def test_disjoint_shares_have_no_training_prompt_in_common_and_leave_validation_whole() -> None:
    one, two = tiny(share=[0, 0.4], limit_rows=None), tiny(share=[0.4, 1], limit_rows=None)
    first, second = ({row.prompt for row in data.comparisons("train")} for data in (one, two))
    assert first
    assert not first & second
    assert len(first | second) == 507
    assert one.comparisons("valid") == two.comparisons("valid")
    assert len(one.judged("train")) == len(one.comparisons("train"))
    with pytest.raises(DataError, match="no training pairs within share"):
        tiny(share=[0, 1e-9]).setup("fit")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"readings": "hard"}, "datamodule.readings"),
        ({"limit_rows": 0}, "limit_rows"),
        ({"share": [1, 0]}, "0 <= start < end"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        tiny(**options)


def test_prompts_in_two_splits_are_refused(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        (tmp_path / f"{split}.jsonl").write_text(json.dumps(own_rows(1)[0]) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match="more than one split"):
        tiny(path=str(tmp_path)).setup("fit")
    tiny(path=str(tmp_path), allow_leaks=True).setup("fit")
