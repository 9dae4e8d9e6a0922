import json
from itertools import pairwise

import pytest

from datamodules.prompt_files import read_prompts, rows_within_share, within_share
from datamodules.reading import read
from nines.errors import ConfigError, DataError


def test_the_embedded_prompts_come_with_their_splits_and_none_twice():
    splits = read_prompts("embedded:injury")
    assert {name: len(prompts) for name, prompts in splits.items()} == {"train": 507, "valid": 117, "test": 156}
    texts = [prompt.text for prompts in splits.values() for prompt in prompts]
    assert len(set(texts)) == 780
    assert {prompt.risk for prompt in splits["test"]} == {"low", "medium", "high"}


def test_lines_of_text_are_split_by_a_hash_and_duplicates_dropped(tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("".join(f"Story number {number}.\n\n" for number in range(400)) + "story  number 7.\n")
    splits = read_prompts(str(file), shares=(0.5, 0.25, 0.25))
    assert sum(len(prompts) for prompts in splits.values()) == 400
    assert 160 < len(splits["train"]) < 240
    assert read_prompts(str(tmp_path), shares=(0.5, 0.25, 0.25)) == splits


def test_labelled_completions_give_their_prompts(tmp_path):
    rows = [{"prompt": f"P{number // 2}.", "completion": f"C{number}.", "label": "no"} for number in range(20)]
    file = tmp_path / "labelled.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    splits = read_prompts(str(file))
    assert sorted(prompt.text for prompts in splits.values() for prompt in prompts) == sorted(
        f"P{number}." for number in range(10)
    )


@pytest.mark.parametrize(
    ("rows", "word"),
    [
        ([{"prompt": " "}], "not empty"),
        ([{"prompt": "A.", "split": "trian"}], "train"),
        ([{"prompt": "A.", "split": "train"}, {"prompt": "a.", "split": "test"}], "in train and in test"),
        ([], "no prompt"),
    ],
)
def test_bad_prompts_are_named(tmp_path, rows, word):
    file = tmp_path / "prompts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError) as raised:
        read_prompts(str(file))
    assert word in "\n".join([str(raised.value), *getattr(raised.value, "details", [])])


def test_disjoint_shares_have_no_prompt_in_common_and_together_all():
    prompts = read_prompts("embedded:injury")["train"]
    cuts = [0.0, 0.2, 0.5, 1.0]
    parts = [within_share(prompts, (start, end)) for start, end in pairwise(cuts)]
    assert sorted(prompt.id for part in parts for prompt in part) == sorted(prompt.id for prompt in prompts)
    assert len(parts[0]) / len(prompts) == pytest.approx(0.2, abs=0.06)
    assert within_share(prompts, (0.0, 0.2), purpose="other") != parts[0]


@pytest.mark.parametrize("share", [(0.5, 0.5), (-0.1, 0.5), (0.2, 1.1)])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ConfigError, match="0 <= start < end <= 1"):
        within_share([], share)


def test_rows_are_divided_as_bare_prompts_are():
    share = (0.2, 0.5)
    prompts = {prompt.text for prompt in within_share(read_prompts("embedded:injury")["train"], share)}
    rows = rows_within_share(read("embedded:injury")["train"], share)
    assert {row.prompt for row in rows} == prompts
    assert rows_within_share(rows, (0.0, 1.0)) == rows
    with pytest.raises(ConfigError, match="0 <= start < end <= 1"):
        rows_within_share([], [0.5])
