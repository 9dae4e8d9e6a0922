import numpy as np
import pytest

from nines.errors import DivergedError, NinesError
from nines.policies.attempts import Attempt, Generation
from nines.policies.scoring import score_attempts, scorer_of_pairs


def attempt(text: str) -> Attempt:
    return Attempt(text=text, tokens=(1,), token_log_probs=(0.0,), log_prob=0.0, finished=True, index=0)


def test_each_attempt_is_scored_with_its_own_prompt_in_one_call() -> None:
    asked: list[list[tuple[str, str]]] = []

    def scores(pairs: list[tuple[str, str]]) -> np.ndarray:
        asked.append(pairs)
        return np.array([float(len(completion)) for _, completion in pairs])

    found = score_attempts(scorer_of_pairs(scores), ["p", "q"], [(1, attempt("abc")), (0, attempt("a"))])
    assert found == [3.0, 1.0]
    assert asked == [[("q", "abc"), ("p", "a")]]


def test_nothing_to_score_asks_nobody() -> None:
    assert score_attempts(lambda prompts, completions: pytest.fail("asked"), ["p"], []) == []


def test_nan_and_a_wrong_number_of_scores_are_refused() -> None:
    with pytest.raises(DivergedError, match="nan for 'bad'"):
        score_attempts(lambda *_: np.array([0.1, np.nan]), ["p"], [(0, attempt("good")), (0, attempt("bad"))])
    with pytest.raises(NinesError, match="asked for 1 scores"):
        score_attempts(lambda *_: np.array([0.1, 0.2]), ["p"], [(0, attempt("good"))])


def test_a_generation_knows_whether_one_rule_judged_all_its_attempts() -> None:
    made = {"prompt": "p", "chosen": attempt("a"), "attempts": (attempt("a"),), "tries": 1}
    assert Generation(**made).fixed_threshold
    assert not Generation(**made, conservatism=0.9).fixed_threshold
