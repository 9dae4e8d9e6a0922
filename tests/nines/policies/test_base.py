from nines.policies.attempts import Generation
from nines.policies.base import BasePolicy, DistilledPolicy
from tests.nines.policies.toy_world import toy_sampler

PROMPTS = ["go run", "sit", "nap go"]


def test_one_attempt_a_prompt_is_delivered_unjudged() -> None:
    found = BasePolicy(toy_sampler()).generate(PROMPTS, seed=3)
    assert [one.prompt for one in found] == PROMPTS
    for one in found:
        assert one.tries == 1
        assert one.attempts == (one.chosen,)
        assert not one.gave_up
        assert one.threshold is None
        assert one.chosen is not None
        assert one.chosen.score is None


def test_each_prompt_is_reported_with_what_is_returned() -> None:
    seen: dict[int, Generation] = {}
    found = BasePolicy(toy_sampler(rows=2)).generate(PROMPTS, seed=3, report=seen.__setitem__)
    assert [seen[place] for place in range(3)] == found


def test_the_distilled_policy_draws_as_the_base_policy_of_the_same_model() -> None:
    assert DistilledPolicy(toy_sampler()).generate(PROMPTS, seed=3) == BasePolicy(toy_sampler()).generate(
        PROMPTS, seed=3
    )
