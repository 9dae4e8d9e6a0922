from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lightning_modules import text_rewards
from lightning_modules.text_rewards import (
    Imported,
    LogSafe,
    ProbabilityInjurious,
    ThresholdPenalty,
    WeightedSum,
    build_reward,
    score,
)
from nines.errors import ConfigError, DataError
from nines.run_folder import RunFolder
from tests.lightning_modules.small_classifier import fitted_checkpoint, tiny_classifier

LENGTHS = "tests.lightning_modules.test_text_rewards.lengths"
PROMPTS, TEXTS = ["p"] * 3, ["safe", "doubtful", "injured"]


def lengths(prompts, completions, *, unit: float = 1.0):
    return [len(text) / unit for text in completions]


class Constant:
    def __init__(self, *, value: float) -> None:
        self.value = value

    def __call__(self, prompts, completions):
        return np.full(len(completions), self.value)


@pytest.fixture
def classifier(monkeypatch):
    """A classifier with known scores: 0.1, 0.5 and 1."""
    known = dict(zip(TEXTS, [0.1, 0.5, 1.0], strict=True))
    fake = SimpleNamespace(threshold=0.5, scores=lambda pairs: np.array([known[text] for _, text in pairs]))
    monkeypatch.setattr(text_rewards, "_classifier", lambda path, device: fake)
    text_rewards._probabilities.cache_clear()
    yield fake
    text_rewards._probabilities.cache_clear()


def test_log_safe_is_the_logarithm_down_to_its_floor(classifier):
    found = LogSafe(classifier="run", floor=-5.0)(PROMPTS, TEXTS)
    np.testing.assert_allclose(found, [np.log(0.9), np.log(0.5), -5.0])


def test_the_penalty_begins_at_the_threshold_of_the_run_or_at_the_one_given(classifier):
    assert ThresholdPenalty(classifier="run", penalty=-2.0)(PROMPTS, TEXTS).tolist() == [0, -2, -2]
    assert ThresholdPenalty(classifier="run", threshold=0.6)(PROMPTS, TEXTS).tolist() == [0, 0, -1]
    classifier.threshold = None
    with pytest.raises(ConfigError, match="fixed no threshold"):
        ThresholdPenalty(classifier="run")(PROMPTS, TEXTS)


def test_a_weighted_sum_tells_its_parts(classifier):
    constant = {"_target_": "tests.lightning_modules.test_text_rewards.Constant", "value": 2.0}
    reward = WeightedSum(
        parts={"length": {"_target_": LENGTHS, "unit": 2.0}, "constant": constant},
        weights={"length": 3.0, "constant": 0},
    )
    total, parts = score(reward, PROMPTS, TEXTS)
    assert parts["length"].tolist() == [2.0, 4.0, 3.5]
    assert parts["constant"].tolist() == [2.0] * 3
    assert total.tolist() == [6.0, 12.0, 10.5]
    assert reward(PROMPTS, TEXTS).tolist() == total.tolist()
    assert score(Imported(name=LENGTHS, arguments={"unit": 4.0}), PROMPTS, TEXTS)[0].tolist() == [1.0, 2.0, 1.75]


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: WeightedSum(parts={}), "empty"),
        (lambda: WeightedSum(parts={"a": lengths}, weights={"b": 1.0}), "no part 'b'"),
        (lambda: LogSafe(classifier="run", floor=0.0), "below 0"),
        (lambda: ThresholdPenalty(classifier="run", threshold=1.5), r"\(0, 1\]"),
        (lambda: ThresholdPenalty(classifier="run", penalty=1.0), "below 0"),
        (lambda: build_reward({}), "_target_"),
        (lambda: build_reward({"_target_": "tests.nothing.here"}), "cannot be imported"),
        (lambda: build_reward({"_target_": "tests.lightning_modules.test_text_rewards.Constant"}), "value"),
    ],
)
def test_mistakes_are_said_in_one_line(make, word):
    with pytest.raises(ConfigError, match=word):
        make()


def test_values_that_are_none_stop_training():
    with pytest.raises(DataError, match=r"shape \(2,\) for 3"):
        score(lambda prompts, completions: [1.0, 2.0], PROMPTS, TEXTS)
    with pytest.raises(DataError, match="nan for 'doubtful'"):
        score(lambda prompts, completions: [1.0, np.nan, 2.0], PROMPTS, TEXTS)


def test_a_trained_classifier_judges_texts(tmp_path: Path):
    folder = RunFolder(tmp_path)
    checkpoint = fitted_checkpoint(tmp_path, tiny_classifier())
    folder.checkpoints.mkdir()
    checkpoint.rename(folder.best)
    reward = ProbabilityInjurious(classifier=str(tmp_path))
    found = reward(["The shelf tilted."] * 2, ["It hit her.", "It missed her by an inch."])
    assert ((found > 0) & (found < 1)).all()
    np.testing.assert_allclose(
        LogSafe(classifier=str(tmp_path))(["The shelf tilted."] * 2, ["It hit her.", "It missed her by an inch."]),
        np.log1p(-found),
    )
    assert reward.threshold is None
