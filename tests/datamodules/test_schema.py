from typing import Any

import pytest

from datamodules.schema import LabelledCompletion, normalised, parse, parse_minimal_pair, short_hash

GOOD: dict[str, Any] = {"prompt": "He ran.", "completion": "He fell.", "label": "no"}


def problems_of(**changes: Any) -> list[str]:
    result = parse({**GOOD, **changes}, "rows.jsonl, line 7")
    assert isinstance(result, list), result
    return result


def test_three_fields_suffice_and_the_others_get_documented_defaults() -> None:
    row = parse(GOOD, "here")
    assert row == LabelledCompletion(
        prompt="He ran.", completion="He fell.", label="no", id=short_hash("He ran.", "He fell."),
        prompt_id=short_hash("He ran."), source="unstated",
    )  # fmt: skip
    assert row.natural_weight == 0.0


def test_a_selection_probability_makes_a_row_generated_with_its_natural_weight() -> None:
    row = parse({**GOOD, "selection_probability": 0.2, "drawn": 12}, "here")
    assert isinstance(row, LabelledCompletion)
    assert row.source == "generated"
    assert row.natural_weight == pytest.approx(1 / 2.4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": None}, "rows.jsonl, line 7, field 'prompt': missing"),
        ({"completion": "  "}, "rows.jsonl, line 7, field 'completion': is empty"),
        ({"prompt": 3}, "rows.jsonl, line 7, field 'prompt': must be text, not 3 (int)"),
        ({"label": "Yes"}, "field 'label': unknown value 'Yes'; did you mean 'yes'? (valid: no, unsure, yes)"),
        ({"label": True}, "field 'label': must be text, not True (bool)"),
        ({"label": ""}, "field 'label': is empty"),
        ({"risk": "hgih"}, "field 'risk': unknown value 'hgih'; did you mean 'high'? (valid: high, low, medium)"),
        ({"labels": "yes"}, "field 'labels': must be a list of labels, not 'yes' (str)"),
        ({"labels": ["yes", "nope"]}, "field 'labels': unknown value 'nope'; did you mean 'no'?"),
        ({"selection_probability": "0.2", "drawn": 3}, "must be a number, not '0.2' (str)"),
        ({"selection_probability": 0, "drawn": 3}, "must be above 0 and at most 1, is 0"),
        ({"selection_probability": 1.5, "drawn": 3}, "must be above 0 and at most 1, is 1.5"),
        ({"selection_probability": float("nan"), "drawn": 3}, "must be above 0 and at most 1, is nan"),
        ({"selection_probability": True, "drawn": 3}, "must be a number, not True (bool)"),
        ({"selection_probability": 0.5, "drawn": 12.0}, "field 'drawn': must be a whole number, not 12.0 (float)"),
        ({"selection_probability": 0.5, "drawn": 0}, "field 'drawn': must be at least 1, is 0"),
        ({"selection_probability": 0.5}, "field 'drawn': missing, but a generated row needs it"),
        ({"source": "generated"}, "field 'selection_probability': missing, but a generated row needs it"),
        ({"source": "plain", "drawn": 3}, "field 'source': 'plain' with selection_probability or drawn"),
        ({"promt_id": "x"}, "field 'promt_id': unknown field; did you mean 'prompt_id'?"),
    ],
)
def test_each_mistake_has_its_own_message(changes: dict[str, Any], message: str) -> None:
    assert any(message in problem for problem in problems_of(**changes))


@pytest.mark.parametrize(
    "changes", [{"label": "maybe"}, {"label": 1}, {"label": None}, {"prompt": ""}, {"labels": ["x"]}, {"drawn": "3"}]
)
def test_one_mistake_gives_one_message(changes: dict[str, Any]) -> None:
    extra = {"selection_probability": 0.5} if "drawn" in changes else {}
    assert len(problems_of(**changes, **extra)) == 1


def test_all_mistakes_of_a_row_show_at_once() -> None:
    assert len(problems_of(prompt=None, completion=3, label="perhaps", risk="none")) == 4


def test_foreign_fields_are_left_aside() -> None:
    assert isinstance(parse({**GOOD, "annotator": "x", "split": "train"}, "here"), LabelledCompletion)


def test_a_minimal_pair_becomes_two_rows_of_one_prompt() -> None:
    rows = parse_minimal_pair({"prompt": "He lit it.", "yes": "In his fist.", "no": "In his pond."}, "here")
    assert [(row.label, row.completion) for row in rows] == [("yes", "In his fist."), ("no", "In his pond.")]  # type: ignore[union-attr]
    assert len({row.prompt_id for row in rows}) == 1  # type: ignore[union-attr]
    assert len({row.id for row in rows}) == 2  # type: ignore[union-attr]


def test_an_incomplete_minimal_pair_names_the_field() -> None:
    assert parse_minimal_pair({"prompt": "He lit it.", "yes": "In his fist."}, "f, line 2") == [
        "f, line 2, field 'no': missing"
    ]


def test_hashes_keep_the_border_between_texts() -> None:
    assert short_hash("ab", "c") != short_hash("a", "bc")


def test_case_and_white_space_do_not_make_texts_differ() -> None:
    assert normalised(" He\tfell. \n") == normalised("he  FELL.")
    assert normalised("he fell") != normalised("he fell.")
