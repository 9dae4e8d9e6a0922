from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lightning_modules.fsdp import FullySharded
from lightning_modules.reward_model import NORMALISATION, RewardModel
from nines.errors import CapabilityError, CheckpointError, ConfigError
from nines.losses.r_drop import r_drop_penalty
from nines.statistics.score_normalisation import ScoreNormalisation
from tests.distributed import run_ranks
from tests.lightning_modules.small_classifier import NO_DROPOUT, fitted_checkpoint, tiny_classifier, tiny_trainer
from tests.lightning_modules.small_reward_model import fitted_reward_model, tiny_comparisons, tiny_reward_model

BRADLEY_TERRY = {"_target_": "nines.losses.preference.BradleyTerry"}
LEARNING = {"lr": 1e-2, "warmup": 0.0}


def training_batch() -> dict[str, torch.Tensor]:
    data = tiny_comparisons()
    data.setup("fit")
    return next(iter(data.train_dataloader()))


# ---- the loss of a step


def test_a_step_is_the_likelihood_of_the_readings_given_both_scores() -> None:
    module = tiny_reward_model()
    batch = training_batch()
    scores = module.model(batch)
    gaps = scores[0::2] - scores[1::2]
    expected = module.loss(gaps, batch["outcome"], batch["share"], batch["clarity"])
    torch.testing.assert_close(module.training_step(batch, 0), expected)
    torch.testing.assert_close(module(batch)[:, 0] - module(batch)[:, 1], gaps.double())


def test_several_dropout_masks_average_the_loss_not_the_scores() -> None:
    module = tiny_reward_model(dropout={**NO_DROPOUT, "head": 0.5, "multi_sample": 4}, loss=BRADLEY_TERRY)
    batch = training_batch()
    torch.manual_seed(1)
    found = module.training_step(batch, 0)
    torch.manual_seed(1)
    samples = module.model.sample_logits(batch)
    arguments = (batch["outcome"], batch["share"], batch["clarity"])
    each = [module.loss(one[0::2] - one[1::2], *arguments) for one in samples]
    assert len(each) == 4
    torch.testing.assert_close(found, torch.stack(each).mean())


def test_r_drop_compares_the_preferences_of_two_passes() -> None:
    module = tiny_reward_model(dropout={**NO_DROPOUT, "hidden": 0.3, "r_drop": 2.0}, loss=BRADLEY_TERRY)
    batch = training_batch()
    torch.manual_seed(1)
    found = module.training_step(batch, 0)
    torch.manual_seed(1)
    gaps = [(one[0::2] - one[1::2]) for one in (module.model(batch) for _ in range(2))]
    likelihood = sum(module.loss(gap, batch["outcome"], batch["share"], batch["clarity"]) for gap in gaps) / 2
    torch.testing.assert_close(found, likelihood + 2.0 * r_drop_penalty(*gaps))


@pytest.mark.parametrize("name", ["Davidson", "RaoKupper"])
def test_training_moves_the_tie_parameter_too(tmp_path: Path, name: str) -> None:
    module = tiny_reward_model(loss={"_target_": f"nines.losses.preference.{name}"}, optimizer=LEARNING)
    (before,) = [parameter.item() for parameter in module.loss.parameters()]
    fitted_reward_model(tmp_path, module)
    (after,) = [parameter.item() for parameter in module.loss.parameters()]
    assert abs(after - before) > 1e-3


def test_clipping_sees_the_tie_parameter_and_keeps_what_it_saw(tmp_path: Path) -> None:
    clipping = {"_target_": "nines.clipping.norm.NormClipping", "max_norm": 0.01}
    module = tiny_reward_model(clipping=clipping, optimizer=LEARNING)
    fitted_reward_model(tmp_path, module)
    assert module.last_clip is not None
    assert module.last_clip.clipped_share == 1.0
    assert "loss.log_nu" in dict(module.clipped_parameters())


def test_a_reward_model_learns_what_its_readers_prefer(tmp_path: Path) -> None:
    """On the training pairs themselves: a sign error would push the accuracy to zero."""
    module, data = tiny_reward_model(optimizer={"lr": 3e-3}), tiny_comparisons(rows=24)
    tiny_trainer(tmp_path, max_epochs=40, limit_val_batches=0).fit(module, datamodule=data)
    with torch.inference_mode():
        scores = {int(row): pair for batch in data.evaluation_loader("train") for row, pair in pairs(module, batch)}
    outcomes = data.judged("train").outcomes
    right = [np.sign(pair[0] - pair[1]) == outcomes[row] for row, pair in scores.items() if outcomes[row]]
    assert np.mean(right) > 0.9


def pairs(module: RewardModel, batch: dict[str, torch.Tensor]) -> list[tuple[torch.Tensor, Any]]:
    module.eval()
    return list(zip(batch["row"], module(batch).tolist(), strict=True))


# ---- evaluation and checkpoints


def test_validation_logs_what_a_sweep_may_optimise(tmp_path: Path) -> None:
    module, trainer = tiny_reward_model(), tiny_trainer(tmp_path)
    (figures,) = trainer.validate(module, datamodule=tiny_comparisons(), verbose=False)
    assert set(RewardModel.objectives) == set(figures)
    gaps, chances = module.gathered_predictions("valid")
    outcomes = tiny_comparisons().judged("valid").outcomes
    expected = np.mean(np.sign(gaps[outcomes != 0]) == outcomes[outcomes != 0])
    assert figures["valid/accuracy"] == pytest.approx(expected)
    np.testing.assert_allclose(chances.sum(axis=1), 1.0, atol=1e-6)


def test_the_normalisation_is_that_of_the_validation_completions_and_travels_with_the_weights(tmp_path: Path) -> None:
    module = tiny_reward_model(optimizer=LEARNING)
    path = fitted_reward_model(tmp_path, module)
    scores = module.gathered_scores("valid")
    prompts = np.repeat(tiny_comparisons().judged("valid").prompts, 2)
    assert module.normalisation == ScoreNormalisation.fit(scores.reshape(-1), prompts.tolist())
    loaded = RewardModel.load_from_checkpoint(path)
    assert loaded.normalisation == module.normalisation != ScoreNormalisation()
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in module.state_dict().items())


def test_testing_leaves_the_normalisation_alone(tmp_path: Path) -> None:
    module, trainer = tiny_reward_model(), tiny_trainer(tmp_path)
    trainer.test(module, datamodule=tiny_comparisons(), verbose=False)
    assert module.normalisation == ScoreNormalisation()


def test_a_checkpoint_holds_tensors_and_plain_values_alone(tmp_path: Path) -> None:
    content = torch.load(fitted_reward_model(tmp_path, tiny_reward_model()), weights_only=True)
    assert content[NORMALISATION]["completions"] == 48


def test_a_classifier_is_no_reward_model(tmp_path: Path) -> None:
    content = torch.load(fitted_checkpoint(tmp_path, tiny_classifier()), weights_only=True)
    with pytest.raises(CheckpointError, match="another architecture"):
        tiny_reward_model().on_load_checkpoint(content)
    with pytest.raises(ConfigError, match="no PreferenceLoss"):
        tiny_reward_model(loss=content["hyper_parameters"]["loss"])


def test_frozen_layers_come_from_the_cache_and_stay_out_of_checkpoints(tmp_path: Path) -> None:
    cached = tiny_reward_model(model={"freeze_layers": 2}, optimizer=LEARNING)
    plain = tiny_reward_model(model={"freeze_layers": 2, "trunk_cache": False}, optimizer=LEARNING)
    states = []
    for name, module in (("cached", cached), ("plain", plain)):
        (tmp_path / name).mkdir()
        content = torch.load(fitted_reward_model(tmp_path / name, module), weights_only=True)
        states.append(content["state_dict"])
    assert not any(f"model.{name}" in states[0] for name in cached.model.frozen_parameter_names())
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, atol=1e-6, rtol=1e-5)


def test_sharding_that_would_leave_the_tie_parameter_out_is_refused(tmp_path: Path) -> None:
    module, trainer = tiny_reward_model(), tiny_trainer(tmp_path)
    trainer._accelerator_connector.strategy = FullySharded()
    module.trainer = trainer
    with pytest.raises(CapabilityError, match=r"fsdp2.*Davidson.*bradley_terry"):
        module.setup("fit")


# ---- ranks


def fit_on(folder: Path, *, ranks: int, rank: int) -> None:
    torch.set_num_threads(1)
    # Adam would blow gradients that are zero but for rounding (the keys' biases) up to whole steps.
    module = tiny_reward_model(optimizer={"lr": 1e-3, "warmup": 0.0, "epsilon": 1e-4})
    data = tiny_comparisons(batch_size=8 // ranks, drop_last=True, bucket_steps=1)
    trainer = tiny_trainer(folder, devices=ranks, strategy="ddp" if ranks > 1 else "auto", max_epochs=2)
    trainer.fit(module, datamodule=data)
    figures = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("valid")}
    kept = {"state": module.state_dict(), "scores": module.gathered_scores("valid"), "figures": figures}
    torch.save({**kept, "normalisation": module.normalisation.as_json()}, folder / f"{ranks}_{rank}.pt")


def test_two_ranks_train_as_one(tmp_path: Path) -> None:
    fit_on(tmp_path, ranks=1, rank=0)
    assert run_ranks(lambda rank: fit_on(tmp_path, ranks=2, rank=rank)) == [0, 0]
    alone, *both = (torch.load(tmp_path / name, weights_only=False) for name in ("1_0.pt", "2_0.pt", "2_1.pt"))
    for found in both:
        for name, value in alone["state"].items():
            torch.testing.assert_close(found["state"][name], value, atol=2e-5, rtol=1e-4)
        np.testing.assert_allclose(found["scores"], alone["scores"], atol=2e-4)
        assert found["figures"] == pytest.approx(alone["figures"], abs=1e-3)
        assert found["normalisation"] == pytest.approx(alone["normalisation"], abs=1e-3)
    assert both[0]["normalisation"] == both[1]["normalisation"]
