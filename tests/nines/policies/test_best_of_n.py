import numpy as np
import pytest

from nines.errors import ConfigError
from nines.policies.best_of_n import BestOfN
from tests.nines.policies.toy_world import score, toy_sampler, toy_scorer


def test_the_best_scored_of_all_attempts_is_delivered() -> None:
    (found,) = BestOfN(toy_sampler(), toy_scorer().call, n=6).generate(["go run"], seed=0)
    assert found.tries == len(found.attempts) == 6
    assert [attempt.index for attempt in found.attempts] == list(range(6))
    assert [attempt.score for attempt in found.attempts] == [score(attempt.text) for attempt in found.attempts]
    assert found.chosen is not None
    assert found.chosen.score == max(score(attempt.text) for attempt in found.attempts)


def test_of_equals_the_first_is_delivered() -> None:
    policy = BestOfN(toy_sampler(), lambda prompts, completions: np.zeros(len(completions)), n=4)
    (found,) = policy.generate(["go run"], seed=0)
    assert found.chosen == found.attempts[0]


def test_a_prompt_is_reported_once_all_its_attempts_are_there() -> None:
    seen: list[tuple[int, int]] = []
    policy = BestOfN(toy_sampler(rows=3), toy_scorer().call, n=4)
    policy.generate(["go", "sit"], seed=0, report=lambda place, found: seen.append((place, found.tries)))
    assert sorted(seen) == [(0, 4), (1, 4)]


def test_no_attempt_is_no_contest() -> None:
    with pytest.raises(ConfigError, match=r"policy\.n must be at least 1"):
        BestOfN(toy_sampler(), toy_scorer().call, n=0)
