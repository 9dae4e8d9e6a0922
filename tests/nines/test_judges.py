import numpy as np
import pytest

from nines.errors import DataError
from nines.judges import CallableJudge, PreferenceJudge, StoredAnswers


def test_stored_answers_are_found_whichever_side_stood_first_and_averaged():
    judge = StoredAnswers([("p", "x", "y", "a"), ("p", "y", "x", "tie"), ("q", "x", "y", "b")])
    found = judge(["p", "p", "q", "q"], ["x", "y", "x", "x"], ["y", "x", "y", "z"])
    assert found[:3].tolist() == [0.75, 0.25, 0.0]
    assert np.isnan(found[3])


def test_a_model_of_preferences_gives_a_win_and_half_a_tie():
    judge = PreferenceJudge(lambda prompts, first, second: np.array([[0.5, 0.2, 0.3]]))
    assert judge(["p"], ["x"], ["y"]).tolist() == [0.6]


def test_leaning_to_what_is_read_first_cancels():
    def first_is_better(prompts, first, second):
        return [0.9] * len(prompts)

    assert CallableJudge(first_is_better)(["p", "q"], ["x", "x"], ["y", "y"]) == pytest.approx([0.5, 0.5])


def test_answers_that_are_none_are_refused():
    with pytest.raises(DataError, match="a, b or tie"):
        StoredAnswers([("p", "x", "y", "first")])
    with pytest.raises(DataError, match="one a pair"):
        CallableJudge(lambda *texts: [0.5])(["p", "q"], ["x", "x"], ["y", "y"])
    with pytest.raises(DataError, match=r"\[0, 1\]"):
        CallableJudge(lambda *texts: [2.0])(["p"], ["x"], ["y"])
