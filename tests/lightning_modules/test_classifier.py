from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from lightning_modules.checkpoint_io import read_checkpoint
from lightning_modules.classifier import CompletionClassifier
from nines.errors import CapabilityError, ConfigError, DivergedError
from nines.losses.base import ClassCounts
from tests.lightning_modules.small_classifier import (
    NO_DROPOUT,
    fitted_checkpoint,
    tiny_classifier,
    tiny_data,
    tiny_trainer,
)


def training_batch(module: CompletionClassifier) -> dict[str, torch.Tensor]:
    data = tiny_data()
    data.setup("fit")
    return next(iter(data.train_dataloader()))


def plain_loss(logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return binary_cross_entropy_with_logits(logits, batch["target"], weight=batch["weight"])


# ---- the loss of a step


def test_without_dropout_a_step_is_the_weighted_cross_entropy() -> None:
    module = tiny_classifier()
    batch = training_batch(module)
    batch["weight"] = torch.linspace(0.5, 1.5, len(batch["target"]))
    expected = plain_loss(module.model(batch), batch)
    torch.testing.assert_close(module.training_step(batch, 0), expected)


def test_multi_sample_dropout_averages_the_loss_over_masks_not_the_logits() -> None:
    module = tiny_classifier(dropout={**NO_DROPOUT, "head": 0.5, "multi_sample": 4})
    batch = training_batch(module)
    torch.manual_seed(1)
    found = module.training_step(batch, 0)
    torch.manual_seed(1)
    samples = module.model.sample_logits(batch)
    assert samples.shape == (4, len(batch["target"]))
    torch.testing.assert_close(found, torch.stack([plain_loss(logits, batch) for logits in samples]).mean())
    assert abs(float(found - plain_loss(samples.mean(0), batch))) > 1e-5


def test_r_drop_adds_the_weighted_symmetric_divergence_of_two_passes() -> None:
    """Liang et al. 2021: mean cross-entropy of both passes, plus alpha times (KL(p||q) + KL(q||p)) / 2."""
    alpha = 3.0
    module = tiny_classifier(dropout={**NO_DROPOUT, "hidden": 0.3, "r_drop": alpha})
    batch = training_batch(module)
    torch.manual_seed(1)
    found = module.training_step(batch, 0)
    torch.manual_seed(1)
    passes = [module.model(batch).double() for _ in range(2)]
    first, second = (torch.distributions.Bernoulli(logits=logits) for logits in passes)
    kl = torch.distributions.kl_divergence
    divergence = 0.5 * (kl(first, second) + kl(second, first)).mean()
    assert float(divergence) > 0
    likelihood = 0.5 * sum(plain_loss(logits, {k: v.double() for k, v in batch.items()}) for logits in passes)
    torch.testing.assert_close(found.double(), likelihood + alpha * divergence, atol=1e-6, rtol=1e-5)


def test_without_dropout_r_drop_costs_nothing() -> None:
    plain, doubled = tiny_classifier(), tiny_classifier(dropout={**NO_DROPOUT, "r_drop": 5.0})
    batch = training_batch(plain)
    torch.testing.assert_close(doubled.training_step(batch, 0), plain.training_step(batch, 0))


# ---- clipping


def test_clipping_acts_on_the_gradients_and_keeps_what_it_saw(tmp_path: Path) -> None:
    module = tiny_classifier(clipping={"_target_": "nines.clipping.norm.NormClipping", "max_norm": 0.01})
    seen: list[float] = []
    step = torch.optim.AdamW.step

    def recording(optimizer: Any, *arguments: Any, **options: Any) -> Any:
        result = step(optimizer, *arguments, **options)
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        seen.append(float(torch.cat([gradient.flatten() for gradient in gradients]).norm()))
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", recording)
        fitted_checkpoint(tmp_path, module)
    assert seen == pytest.approx([0.01, 0.01], rel=1e-3)
    assert module.last_clip is not None
    assert module.last_clip.norm > 0.01
    assert module.last_clip.clipped_share == 1.0


def test_lightnings_own_clipping_beside_ours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="clipping=…"):
        fitted_checkpoint(tmp_path, tiny_classifier(), gradient_clip_val=1.0)


def test_clipping_that_needs_whole_gradients_is_refused_where_they_are_sharded(tmp_path: Path) -> None:
    """The strategy is put in place of the CPU's, since a sharding one itself wants several GPUs."""
    from lightning.pytorch.strategies import ModelParallelStrategy

    module = tiny_classifier(clipping={"_target_": "nines.clipping.quantile.QuantileClipping"})
    trainer = tiny_trainer(tmp_path)
    trainer._accelerator_connector.strategy = ModelParallelStrategy()
    module.trainer = trainer
    with pytest.raises(CapabilityError, match=r"QuantileClipping.*ModelParallelStrategy.*clipping=norm"):
        module.setup("fit")


# ---- building


def test_a_deferred_model_has_the_weights_that_an_immediate_one_has() -> None:
    immediate, deferred = tiny_classifier(seed=7), tiny_classifier(seed=7, deferred=True)
    assert list(deferred.parameters()) == []
    torch.manual_seed(99)  # whatever was drawn in between
    before = torch.get_rng_state()
    deferred.configure_model()
    assert torch.equal(torch.get_rng_state(), before)
    found = deferred.model.state_dict()
    assert all(torch.equal(found[name], value) for name, value in immediate.model.state_dict().items())


def test_building_twice_keeps_the_trained_weights() -> None:
    module = tiny_classifier()
    with torch.no_grad():
        module.model.head.output.weight.fill_(3.0)
    module.configure_model()
    assert module.model.head.output.weight.unique().tolist() == [3.0]


def test_deferring_is_no_part_of_a_checkpoint(tmp_path: Path) -> None:
    module = tiny_classifier(deferred=True, model={"freeze_layers": 1})
    path = fitted_checkpoint(tmp_path, module)
    assert "deferred" not in read_checkpoint(path)["hyper_parameters"]
    loaded = CompletionClassifier.load_from_checkpoint(path).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in module.state_dict().items())


def test_computing_activations_again_changes_no_gradient() -> None:
    gradients = []
    for again in (False, True):
        module = tiny_classifier(
            model={"activation_checkpointing": again}, dropout={**NO_DROPOUT, "hidden": 0.3, "layer_drop": 0.2}
        ).train()
        calls = []
        module.model.layers[1].intermediate.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        torch.manual_seed(1)
        module.training_step(training_batch(module), 0).backward()
        gradients.append({name: parameter.grad for name, parameter in module.model.named_parameters()})
        assert len(calls) == 1 + again
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


def test_an_encoder_that_cannot_compute_activations_again_says_so() -> None:
    from nines.models.encoders import recompute_activations

    encoder = tiny_classifier().model.encoder
    encoder.supports_gradient_checkpointing = False
    with pytest.raises(CapabilityError, match=r"BertModel.*activation_checkpointing=false"):
        recompute_activations(encoder)


def test_the_head_scores_in_float32_though_its_weights_are_rounded() -> None:
    module = tiny_classifier().to(torch.bfloat16).eval()
    batch = training_batch(module)
    with torch.inference_mode():
        logits = module.model(batch)
    assert logits.dtype == torch.float32
    assert not torch.equal(logits, logits.to(torch.bfloat16).float())


# ---- evaluation


def test_gathered_scores_are_in_the_order_of_the_rows(tmp_path: Path) -> None:
    module, data = tiny_classifier(), tiny_data()
    trainer = tiny_trainer(tmp_path)
    trainer.test(module, datamodule=data, verbose=False)
    module.eval()
    for split in data.splits("test"):
        pairs = data.pairs(split)
        with torch.inference_mode():
            alone = [torch.sigmoid(module.model(pairs.collate([row]))).item() for row in range(len(pairs))]
        scores = module.gathered_scores(split)
        assert scores.shape == (len(data.rows(split).labels),)
        np.testing.assert_allclose(scores, alone, atol=1e-6)
        assert len(np.unique(scores)) > len(scores) // 2


def test_threshold_moving_shifts_scores_at_evaluation_and_not_the_loss(tmp_path: Path) -> None:
    """Elkan 2001: odds under the target prior are those of the model times target odds over training odds."""
    moved = tiny_classifier(loss={"_target_": "nines.losses.threshold_moving.ThresholdMovingLoss", "target_prior": 0.1})
    plain = tiny_classifier()
    moved.loss.prepare(ClassCounts(positives=100.0, negatives=300.0))
    batch = training_batch(plain)
    torch.testing.assert_close(moved.training_step(batch, 0), plain.training_step(batch, 0))
    for module in (plain, moved):
        tiny_trainer(tmp_path).validate(module, datamodule=tiny_data(), verbose=False)
    odds = [scores / (1 - scores) for scores in (m.gathered_scores("valid") for m in (plain, moved))]
    np.testing.assert_allclose(odds[1], odds[0] * (1 / 9) / (100 / 300), rtol=1e-5)


def test_a_loaded_checkpoint_still_knows_the_prior_it_was_trained_at(tmp_path: Path) -> None:
    loss = {"_target_": "nines.losses.threshold_moving.ThresholdMovingLoss", "target_prior": 0.1}
    module = tiny_classifier(loss=loss)
    loaded = CompletionClassifier.load_from_checkpoint(fitted_checkpoint(tmp_path, module))
    batch = training_batch(module)
    expected = module.eval()(batch)
    torch.testing.assert_close(loaded.eval()(batch), expected)
    assert not torch.allclose(expected, torch.sigmoid(module.model(batch)).double(), atol=1e-3)


@pytest.mark.parametrize("limit", [1.0, 1])
def test_diverged_training_is_told_as_such(tmp_path: Path, limit: float) -> None:
    module = tiny_classifier()
    with torch.no_grad():
        module.model.head.output.bias.fill_(torch.nan)
    with pytest.raises(DivergedError, match=r"(14 of 14|40 of 40) scores of 'valid'") as raised:
        tiny_trainer(tmp_path, limit_val_batches=limit).validate(module, datamodule=tiny_data(), verbose=False)
    assert "diverged" in str(raised.value)
    assert str(raised.value).count("\n") == 0
    assert raised.value.exit_code == 1


def test_rows_that_a_limit_leaves_out_do_not_count_as_diverged(tmp_path: Path) -> None:
    module = tiny_classifier()
    tiny_trainer(tmp_path, limit_val_batches=1).validate(module, datamodule=tiny_data(), verbose=False)
    scores = module.gathered_scores("valid")
    assert (scores == 0.5).sum() == len(scores) - 14
