from types import SimpleNamespace

import numpy as np
import pytest

from lightning_modules import text_rewards
from lightning_modules.policy_sampling import Sampled
from lightning_modules.scored_samples import acceptance, scored, with_empty_scored
from lightning_modules.text_rewards import LogSafe, WeightedSum, build_reward
from nines.errors import DataError

KNOWN = {"safe": 0.1, "doubtful": 0.5, "injured": 1.0}
PROMPTS, TEXTS = ["p"] * 3, list(KNOWN)
LENGTHS = "tests.lightning_modules.test_text_rewards.lengths"


@pytest.fixture(autouse=True)
def _known_classifier(monkeypatch):
    fake = SimpleNamespace(threshold=0.5, scores=lambda pairs: np.array([KNOWN[text] for _, text in pairs]))
    monkeypatch.setattr(text_rewards, "_classifier", lambda path, device: fake)
    text_rewards._probabilities.cache_clear()
    yield
    text_rewards._probabilities.cache_clear()


def test_a_filter_accepts_below_the_threshold_whichever_part_has_one():
    both = WeightedSum(parts={"length": {"_target_": LENGTHS}, "safe": LogSafe(classifier="run")})
    found = acceptance(both, PROMPTS, TEXTS)
    assert found is not None
    assert found.tolist() == [True, False, False]
    assert acceptance(build_reward({"_target_": LENGTHS}), PROMPTS, TEXTS) is None


def test_each_completion_gets_the_values_of_its_own_text_in_the_order_given():
    reward = WeightedSum(parts={"safe": LogSafe(classifier="run", floor=-5.0)}, weights={"safe": 2.0})
    sampled = [Sampled(0, (1,), (2,), text, finished=True) for text in ("injured", "", "safe")]
    found = scored(reward, sampled, ["p"])
    assert [one.score for one in found if one.text] == pytest.approx([-10.0, 2 * np.log(0.9)])
    assert [one.parts for one in found if one.text] == [
        {"safe": pytest.approx(-5.0)},
        {"safe": pytest.approx(np.log(0.9))},
    ]
    assert found[1] == sampled[1]  # nothing to judge in it


def test_an_empty_completion_gets_what_the_worst_other_got_whichever_rank_it_is_on():
    sampled = [Sampled(0, (1,), (2,), text, finished=True) for text in ("safe", "", "injured")]
    reward = WeightedSum(parts={"safe": LogSafe(classifier="run", floor=-5.0)})
    on_one = with_empty_scored(scored(reward, sampled, ["p"]))
    on_two = with_empty_scored(scored(reward, sampled[:2], ["p"]) + scored(reward, sampled[2:], ["p"]))
    assert on_one == on_two
    assert [one.score for one in on_one] == pytest.approx([np.log(0.9), -5.0, -5.0])
    assert [one.accepted for one in on_one] == [True, False, False]
    assert on_one[1].parts == on_one[2].parts
    with pytest.raises(DataError, match="all 1 completions are empty"):
        with_empty_scored([sampled[1]])
