"""A reward model by its configuration: a whole run, and one that is killed and resumed."""

import signal
from pathlib import Path

import numpy as np

from lightning_modules.checkpoint_io import read_checkpoint
from lightning_modules.reward_model import NORMALISATION, RewardModel
from lightning_modules.reward_scorer import RewardScorer
from nines.files import read_json
from nines.run_folder import RunFolder
from tests.trainings import assert_same_to_the_bit, killing, run_in_child, train_small

REWARD = ["module=reward_model", "datamodule.limit_rows=32", "trainer.max_epochs=2"]


def test_killed_and_resumed_equals_uninterrupted_to_the_bit(tmp_path: Path) -> None:
    """Inside the second epoch, with dropout, soft targets and a learned tie parameter."""
    assert run_in_child(tmp_path / "whole", REWARD) == 0
    assert run_in_child(tmp_path / "killed", [*REWARD, *killing(6)]) == -signal.SIGKILL
    assert run_in_child(tmp_path / "killed", REWARD) == 0
    assert_same_to_the_bit(tmp_path / "whole", tmp_path / "killed")
    maps = [read_checkpoint(RunFolder(tmp_path / name).last)[NORMALISATION] for name in ("whole", "killed")]
    assert maps[0] == maps[1]


def test_a_run_ends_with_figures_plots_and_a_checkpoint_that_scores_texts(tmp_path: Path) -> None:
    figures = train_small(tmp_path, [*REWARD, "callbacks=reward_model", "test=true", "preference=rao_kupper"])
    assert {"valid/accuracy", "valid/log_loss", "test/accuracy", "test/calibration_error"} <= set(figures)
    written = read_json(tmp_path / "metrics.json")
    assert written["metrics"]["test/accuracy_lower"] <= figures["test/accuracy"]
    assert (tmp_path / "figures" / "test_calibration.png").is_file()
    best = read_checkpoint(RunFolder(tmp_path).best)
    assert best["hyper_parameters"]["loss"]["_target_"].endswith("RaoKupper")
    # The map in the best checkpoint is that of its own weights: its validation scores have mean 0 and variance 1.
    scorer = RewardScorer.load(tmp_path)
    assert isinstance(scorer.module, RewardModel)
    assert scorer.module.normalisation.completions == 64
    scores = scorer(["The shelf tilted."] * 2, ["It missed her by an inch.", "He sang."])
    assert np.isfinite(scores).all()
    assert scores[0] != scores[1]
