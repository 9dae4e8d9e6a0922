from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nines.errors import NinesError
from nines.policies.attempts import Attempt
from nines.policies.filter_plan import FilterPlan, FilterRule

RULE = FilterRule(
    threshold=0.5,
    safest_of_batch=False,
    max_tries=4,
    batch=2,
    fallback="refuse",
    conservatism=None,
    require_finished=False,
)


def attempt(index: int, score: float, *, finished: bool = True) -> Attempt:
    return Attempt(text=str(score), tokens=(1,), token_log_probs=(0.0,), log_prob=0.0, finished=finished, index=index)


def plan(prompts: int = 1, **changes: Any) -> FilterPlan:
    """The score of an attempt is its text."""
    rule = replace(RULE, **changes)
    return FilterPlan(["p"] * prompts, lambda _, texts: np.array([float(text) for text in texts]), rule)


def test_the_threshold_falls_with_rejections_only_where_asked() -> None:
    assert RULE.threshold_after(3) == 0.5
    assert replace(RULE, conservatism=0.5).threshold_after(2) == 0.125


def test_an_attempt_is_judged_by_score_and_end() -> None:
    scored = replace(attempt(0, 0.4), score=0.4)
    assert RULE.accepts(scored, rejections=0)
    assert not RULE.accepts(replace(scored, score=0.5), rejections=0)
    cut = replace(scored, finished=False)
    assert RULE.accepts(cut, rejections=0)
    assert not replace(RULE, require_finished=True).accepts(cut, rejections=0)
    with pytest.raises(NinesError, match="without a score"):
        RULE.accepts(attempt(0, 0.4), rejections=0)


def test_a_later_acceptance_waits_for_the_attempts_before_it() -> None:
    one = plan()
    assert one.start(2) == [(0, 0), (0, 1)]
    one.finish([(0, attempt(1, 0.1))])
    assert not one.done(0)
    one.finish([(0, attempt(0, 0.2))])
    (found,) = one.generations()
    assert found.chosen is not None
    assert found.chosen.index == 0
    assert found.tries == 1  # the one behind it is dropped


def test_every_prompt_gets_its_first_attempt_before_any_gets_a_second() -> None:
    assert plan(3).start(4) == [(0, 0), (1, 0), (2, 0), (0, 1)]


def test_a_batch_is_decided_as_a_whole_and_gives_its_safest() -> None:
    one = plan(safest_of_batch=True)
    assert one.start(9) == [(0, 0), (0, 1)]
    one.finish([(0, attempt(0, 0.4))])
    assert not one.done(0)
    one.finish([(0, attempt(1, 0.3))])
    (found,) = one.generations()
    assert found.chosen is not None
    assert (found.chosen.index, found.tries) == (1, 2)


@pytest.mark.parametrize(("fallback", "delivered"), [("refuse", None), ("safest", 2)])
def test_a_spent_budget_is_said(fallback: str, delivered: int | None) -> None:
    one = plan(fallback=fallback, max_tries=3, batch=9)
    assert one.start(9) == [(0, 0), (0, 1), (0, 2)]
    one.finish([(0, attempt(index, score)) for index, score in enumerate((0.9, 0.8, 0.7))])
    (found,) = one.generations()
    assert found.gave_up
    assert found.fallback == fallback
    assert (found.chosen.index if found.chosen else None) == delivered
    assert one.start(5) == []
