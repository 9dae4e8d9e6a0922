from nines.policies.attempts import Attempt
from nines.policies.plans import FixedCount


def attempt(index: int) -> Attempt:
    return Attempt(text=str(index), tokens=(1,), token_log_probs=(0.0,), log_prob=0.0, finished=True, index=index)


def test_attempts_of_a_prompt_are_asked_for_one_after_the_other_as_rows_are_free() -> None:
    plan = FixedCount(2, count=3)
    assert plan.start(2) == [(0, 0), (0, 1)]
    assert plan.start(3) == [(0, 2), (1, 0), (1, 1)]
    assert plan.start(9) == [(1, 2)]
    assert plan.start(9) == []


def test_a_prompt_is_done_with_its_last_attempt_and_keeps_their_order() -> None:
    plan = FixedCount(2, count=2)
    plan.finish([(0, attempt(1)), (1, attempt(0))])
    assert not plan.done(0)
    plan.finish([(0, attempt(0))])
    assert plan.done(0)
    assert not plan.done(1)
    assert [[one.index for one in own] for own in plan.attempts] == [[0, 1], [0]]
