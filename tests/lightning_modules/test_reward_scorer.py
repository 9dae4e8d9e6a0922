from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_modules.reward_scorer import RewardScorer
from nines.errors import CheckpointError, ConfigError, DataError
from tests.lightning_modules.small_classifier import fitted_checkpoint, tiny_classifier
from tests.lightning_modules.small_reward_model import fitted_reward_model, tiny_comparisons, tiny_reward_model

PROMPTS = ["The shelf tilted.", "A long walk home, and rain.", "Nobody spoke."]
COMPLETIONS = ["It missed her by an inch.", "He sang.", "The clock went on as it always had, and then it stopped."]


def test_scores_do_not_depend_on_what_shares_a_batch() -> None:
    module = tiny_reward_model()
    together = RewardScorer(module)(PROMPTS, COMPLETIONS)
    apart = RewardScorer(module, batch_size=1)(PROMPTS[::-1], COMPLETIONS[::-1])[::-1]
    assert together.dtype == np.float64
    np.testing.assert_allclose(apart, together, atol=1e-6)
    assert len(np.unique(together)) == 3


def test_the_scores_of_texts_are_those_of_the_data_module(tmp_path: Path) -> None:
    module = tiny_reward_model()
    fitted_reward_model(tmp_path, module)
    texts = tiny_comparisons().texts("valid")
    found = RewardScorer(module).raw_scores([text[0] for text in texts], [text[1] for text in texts])
    np.testing.assert_allclose(found, module.gathered_scores("valid")[:, 0], atol=1e-5)


def test_normalised_on_a_policy_its_completions_have_mean_zero_and_variance_one(tmp_path: Path) -> None:
    scorer = RewardScorer(tiny_reward_model())
    raw = scorer.raw_scores(PROMPTS, COMPLETIONS)
    scorer.fit_normalisation(PROMPTS, COMPLETIONS)
    found = scorer(PROMPTS, COMPLETIONS)
    assert (found.mean(), found.std()) == pytest.approx((0.0, 1.0), abs=1e-9)
    assert np.argsort(found).tolist() == np.argsort(raw).tolist()
    scorer.save(tmp_path / "scorer.ckpt")
    np.testing.assert_array_equal(RewardScorer.load(tmp_path / "scorer.ckpt")(PROMPTS, COMPLETIONS), found)


def test_a_saved_scorer_with_frozen_layers_loads_whole(tmp_path: Path) -> None:
    scorer = RewardScorer(tiny_reward_model(model={"freeze_layers": 2}))
    scorer.save(tmp_path / "scorer.ckpt")
    content = torch.load(tmp_path / "scorer.ckpt", weights_only=True)
    assert not any("encoder.layer.0." in name for name in content["state_dict"])
    loaded = RewardScorer.load(tmp_path / "scorer.ckpt")
    np.testing.assert_array_equal(loaded(PROMPTS, COMPLETIONS), scorer(PROMPTS, COMPLETIONS))


def test_preferences_follow_the_scores_and_mirror_when_exchanged() -> None:
    scorer = RewardScorer(tiny_reward_model())
    found = scorer.preferences(PROMPTS, COMPLETIONS, COMPLETIONS[::-1])
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-9)
    mirrored = scorer.preferences(PROMPTS, COMPLETIONS[::-1], COMPLETIONS)
    np.testing.assert_allclose(mirrored, found[:, ::-1], atol=1e-7)
    gaps = scorer.raw_scores(PROMPTS, COMPLETIONS) - scorer.raw_scores(PROMPTS, COMPLETIONS[::-1])
    assert (np.sign(found[:, 0] - found[:, 2]) == np.sign(gaps)).all()


def test_a_run_folder_is_loaded_by_its_best_checkpoint(tmp_path: Path) -> None:
    module = tiny_reward_model()
    path = fitted_reward_model(tmp_path, module)
    (tmp_path / "checkpoints").mkdir()
    path.rename(tmp_path / "checkpoints" / "best.ckpt")
    np.testing.assert_array_equal(
        RewardScorer.load(tmp_path)(PROMPTS, COMPLETIONS), RewardScorer(module)(PROMPTS, COMPLETIONS)
    )


def test_a_classifier_scores_no_quality(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint of a reward model"):
        RewardScorer.load(fitted_checkpoint(tmp_path, tiny_classifier()))


def test_texts_that_do_not_go_together_are_refused_and_none_give_none() -> None:
    scorer = RewardScorer(tiny_reward_model())
    assert scorer([], []).shape == (0,)
    with pytest.raises(DataError, match="3 prompts do not go with 2"):
        scorer(PROMPTS, COMPLETIONS[:2])
    with pytest.raises(ConfigError, match="batch_size"):
        RewardScorer(scorer.module, batch_size=0)
