from typing import Any

import pytest

from datamodules.comparison_schema import Comparison, Judgement, parse_comparison

ROW = {"prompt": "The shelf tilted.", "a": "It missed her.", "b": "It fell.", "preference": "a"}


def problems_of(**changes: Any) -> list[str]:
    found = parse_comparison({**ROW, **changes}, "x.jsonl, line 3")
    assert isinstance(found, list), found
    return found


def test_a_bare_row_has_one_judgement_of_unknown_clarity_and_names_from_its_texts() -> None:
    found = parse_comparison(ROW, "here")
    assert isinstance(found, Comparison)
    assert found.judgements == (Judgement("a", None),)
    assert len(found.id) == len(found.prompt_id) == 10
    other = parse_comparison({**ROW, "b": "It fell down."}, "here")
    assert isinstance(other, Comparison)
    assert (other.prompt_id == found.prompt_id, other.id == found.id) == (True, False)


def test_every_reading_is_kept_in_order() -> None:
    readings = [{"preference": "b", "clarity": 2}, {"preference": "a", "clarity": 1}]
    found = parse_comparison({**ROW, "preference": "tie", "judgements": readings}, "here")
    assert isinstance(found, Comparison)
    assert found.judgements == (Judgement("b", 2), Judgement("a", 1))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"a": 3}, r"line 3, field 'a': must be text, not 3 \(int\)"),
        ({"preference": "A"}, "field 'preference': unknown value 'A'"),
        ({"b": None}, "field 'b': missing"),
        ({"b": "It missed her."}, "same text as 'a'"),
        ({"judgements": []}, "'judgements': must be a list of readings"),
        ({"judgements": [{"preference": "c"}]}, r"judgements\[0\].*preference of a, b, tie"),
        ({"judgements": [{"preference": "b", "clarity": 1}]}, "is 'a', but every judgement says 'b'"),
        ({"judgements": [{"preference": "a", "clarity": 0}]}, r"judgements\[0\]\.clarity.*1 to 3"),
        ({"judgements": [{"preference": "a", "clarity": True}]}, "whole number"),
        ({"judgements": [{"preference": "a", "clarity": 1}], "clarity": 1}, "beside judgements"),
        ({"preference": "tie", "clarity": 2}, "must be 0 for a tie, is 2"),
        ({"preferense": "a"}, "did you mean 'preference'"),
    ],
)
def test_each_mistake_is_named_with_its_place(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(AssertionError, match=named):
        raise AssertionError("\n".join(problems_of(**changes)))


def test_all_mistakes_of_a_row_show_at_once() -> None:
    assert len(problems_of(a="", b=7, preference="first")) == 3
