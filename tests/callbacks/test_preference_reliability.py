from pathlib import Path

import pytest

from callbacks.preference_reliability import PreferenceReliability
from lightning_modules.reward_model import RewardModel
from nines.errors import ConfigError
from nines.files import read_json
from nines.statistics.preferences import evaluate_preferences
from tests.fakes import TinyLabelledData, TinyScorer, logged_tags, tiny_trainer
from tests.lightning_modules.small_reward_model import tiny_comparisons, tiny_reward_model


def evaluated(folder: Path) -> tuple[PreferenceReliability, RewardModel]:
    callback, module = PreferenceReliability(), tiny_reward_model()
    trainer = tiny_trainer(folder, [callback], max_epochs=1)
    data = tiny_comparisons()
    trainer.validate(module, datamodule=data, verbose=False)
    trainer.test(module, datamodule=data, verbose=False)
    return callback, module


def test_a_test_states_accuracy_readers_baselines_and_calibration_in_files_and_plots(tmp_path: Path) -> None:
    callback, module = evaluated(tmp_path)
    written = read_json(tmp_path / "metrics.json")
    gaps, chances = module.gathered_predictions("test")
    expected = evaluate_preferences(gaps, chances, tiny_comparisons().judged("test"))
    assert callback.evaluations["test"].as_json() == expected.as_json()
    assert written["metrics"]["test/accuracy_upper"] == pytest.approx(expected.accuracy.upper)
    assert {"valid", "test"} == set(written["evaluation"])
    assert set(written["evaluation"]["test"]["baselines"]) == {"length", "TF-IDF"}
    assert len(written["evaluation"]["test"]["calibration"]["bins"]) == 5
    assert 0 <= written["metrics"]["test/baselines/tf_idf/accuracy"] <= 1
    drawn = {path.name for path in (tmp_path / "figures").iterdir()}
    assert drawn == {
        f"{split}_{name}.png" for split in ("valid", "test") for name in ("accuracy", "calibration", "length")
    }


def test_a_fit_logs_figures_but_neither_draws_nor_fits_baselines(tmp_path: Path) -> None:
    callback, module = PreferenceReliability(), tiny_reward_model()
    tiny_trainer(tmp_path, [callback], max_epochs=1).fit(module, datamodule=tiny_comparisons())
    tags = logged_tags(tmp_path)
    assert {"valid/accuracy_lower", "valid/length_correlation"} <= set(tags["scalars"])
    assert not tags["images"]
    assert callback.baseline_evaluations == {}
    assert not (tmp_path / "metrics.json").exists()


def test_another_kind_of_data_or_module_is_a_mistake_of_the_user(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path, [PreferenceReliability()])
    with pytest.raises(ConfigError, match=r"(datamodule=comparisons|module=reward_model)"):
        trainer.validate(TinyScorer(), datamodule=TinyLabelledData(), verbose=False)
