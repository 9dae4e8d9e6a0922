from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.schema import LabelledCompletion, short_hash
from datamodules.splitting import leaks, limited, prompt_groups, refuse_leaks, split_by_prompt
from nines.errors import ConfigError, DataError


def row(prompt: str, *, name: str | None = None, completion: str = "c") -> LabelledCompletion:
    return LabelledCompletion(
        prompt=prompt, completion=completion, label="no", id=short_hash(prompt, completion),
        prompt_id=name or short_hash(prompt), source="plain",
    )  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 30), st.text("ab ", min_size=1, max_size=4).filter(str.strip)), max_size=60))
def test_a_split_never_leaks_whatever_names_and_texts_prompts_share(prompts: list[tuple[int, str]]) -> None:
    rows = [row(text, name=f"p{name}", completion=str(place)) for place, (name, text) in enumerate(prompts)]
    splits = split_by_prompt(rows, shares=(0.5, 0.25, 0.25))
    assert leaks(splits) == []
    assert Counter(one.id for split in splits.values() for one in split) == Counter(one.id for one in rows)


def test_shares_are_met_in_expectation() -> None:
    splits = split_by_prompt([row(f"prompt {number}") for number in range(20000)], shares=(0.7, 0.2, 0.1))
    sizes = [len(splits[name]) / 20000 for name in ("train", "valid", "test")]
    assert sizes == pytest.approx([0.7, 0.2, 0.1], abs=0.012)  # four standard errors


def test_more_rows_move_no_prompt_to_another_split() -> None:
    rows = [row(f"prompt {number}") for number in range(200)]
    before = {one.id: name for name, split in split_by_prompt(rows[:100]).items() for one in split}
    after = {one.id: name for name, split in split_by_prompt(rows).items() for one in split}
    assert before.items() <= after.items()


def test_prompts_are_one_group_if_a_third_links_them() -> None:
    rows = [row("a", name="1"), row("b", name="2"), row("c", name="3"), row("B", name="1")]
    assert prompt_groups(rows) == [0, 0, 1, 0]


def test_a_prompt_in_two_splits_is_a_leak_even_in_other_case_and_under_another_name() -> None:
    splits = {"train": [row("He  ran.", name="x"), row("She sat.")], "test": [row("he ran.", name="y")]}
    (leak,) = leaks(splits)
    assert leak.rows == {"train": 1, "test": 1}
    with pytest.raises(DataError, match=r"my.jsonl: one prompt lies in more than one split \(test, train\)"):
        refuse_leaks(splits, "my.jsonl")


def test_clean_splits_are_not_refused() -> None:
    refuse_leaks({"train": [row("a")], "test": [row("b")]}, "my.jsonl")


@pytest.mark.parametrize("shares", [(0.5, 0.5, 0.5), (1.2, -0.1, -0.1), (0.0, 0.5, 0.5)])
def test_shares_that_are_none_are_refused(shares: tuple[float, float, float]) -> None:
    with pytest.raises(ConfigError, match="sum to 1"):
        split_by_prompt([row("a")], shares=shares)


def test_a_limit_picks_the_same_rows_in_any_order() -> None:
    rows = [row(f"prompt {number}") for number in range(50)]
    some = limited(rows, 7)
    assert len(some) == 7
    assert {one.id for one in some} == {one.id for one in limited(rows[::-1], 7)}
    assert [rows.index(one) for one in some] == sorted(rows.index(one) for one in some)
