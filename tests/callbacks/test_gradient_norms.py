"""Gradient norms of real fits: what is counted and logged, under accumulation, clipping and resuming."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.demos.boring_classes import RandomDataset
from lightning.pytorch.loggers import CSVLogger, Logger
from torch import Tensor, nn
from torch.utils.data import DataLoader

from callbacks.gradient_norms import GradientNorms, group_norms
from nines.clipping.base import ClipResult, GradientClipping
from nines.clipping.norm import NormClipping
from nines.errors import ConfigError


class LayeredModel(nn.Module):
    """Knows the depth of its parameters, as the classifier does."""

    layer_count = 1

    def __init__(self) -> None:
        super().__init__()
        self.bottom, self.middle, self.head = nn.Linear(8, 4), nn.Linear(4, 4), nn.Linear(4, 1)

    def forward(self, batch: Tensor) -> Tensor:
        return self.head(torch.tanh(self.middle(torch.tanh(self.bottom(batch)))))

    def depth_of(self, name: str) -> int:
        return ("bottom", "middle", "head").index(name.partition(".")[0])


class PlainModule(L.LightningModule):
    """Leaves clipping to the trainer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.model = LayeredModel()

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return self.model(batch).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class ClippingModule(PlainModule):
    """Clips by a strategy of ours and keeps what it saw; `spoiled` steps have a gradient that is not finite."""

    def __init__(self, clipping: GradientClipping, spoiled: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.clipping = clipping
        self.spoiled = spoiled
        self.last_clip: ClipResult | None = None
        self.seen: list[ClipResult] = []

    def configure_gradient_clipping(self, optimizer: Any, *arguments: Any, **options: Any) -> None:
        if self.global_step in self.spoiled:
            self.model.head.bias.grad.fill_(math.nan)
        self.last_clip = self.clipping.clip(list(self.model.named_parameters()))
        self.seen.append(self.last_clip)


class RememberingLogger(Logger):
    """Keeps every value by name: step to value."""

    name, version = "remembering", 0

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, dict[int, float]] = {}

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        for name, value in metrics.items():
            self.values.setdefault(name, {})[step] = value

    def log_hyperparams(self, *arguments: Any, **options: Any) -> None:
        """Nothing to keep."""


def trainer_with(callback: GradientNorms, logger: Logger | bool = False, **options: Any) -> L.Trainer:
    return L.Trainer(
        **{"max_epochs": 1, **options},
        accelerator="cpu",
        logger=logger,
        callbacks=[callback],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )


def batches() -> DataLoader[Tensor]:
    torch.manual_seed(1)
    return DataLoader(RandomDataset(8, 12), batch_size=2)


def fit(module: L.LightningModule, callback: GradientNorms, **options: Any) -> dict[str, dict[int, float]]:
    """What six batches of two rows log, by chart name and step."""
    logger = RememberingLogger()
    checkpoint = options.pop("checkpoint", None)
    trainer_with(callback, logger, **options).fit(module, batches(), ckpt_path=checkpoint)
    return logger.values


def test_every_optimizer_step_is_counted_once_with_its_norm_before_clipping() -> None:
    module, callback = ClippingModule(NormClipping(max_norm=0.05)), GradientNorms()
    logged = fit(module, callback)
    norms = [result.norm for result in module.seen]
    assert len(norms) == callback.steps == 6
    assert logged["gradients/norm"] == dict(enumerate(norms))
    assert logged["gradients/threshold"] == dict.fromkeys(range(6), 0.05)
    assert callback.clipped_steps == sum(norm > 0.05 for norm in norms) > 0
    summary = callback.summary()
    assert summary["gradients/max"] == max(norms)
    assert summary["gradients/mean"] == pytest.approx(sum(norms) / 6)
    assert summary["gradients/ratio_max_to_mean"] == pytest.approx(6 * max(norms) / sum(norms))
    assert summary["gradients/clipped_steps"] == pytest.approx(callback.clipped_steps / 6)


def test_accumulated_batches_count_as_one_step() -> None:
    module, callback = ClippingModule(NormClipping()), GradientNorms()
    logged = fit(module, callback, accumulate_grad_batches=3)
    assert callback.steps == len(module.seen) == 2
    assert list(logged["gradients/norm"]) == [0, 1]


def test_a_step_that_is_not_finite_is_counted_and_kept_out_of_mean_and_max() -> None:
    module, callback = ClippingModule(NormClipping(max_norm=1e6), spoiled=(1, 4)), GradientNorms()
    logged = fit(module, callback)
    finite = [result.norm for result in module.seen if result.finite]
    assert len(finite) == 4
    assert callback.non_finite_steps == 2
    assert callback.summary()["gradients/clipped_steps"] == pytest.approx(2 / 6)
    assert callback.summary()["gradients/mean"] == pytest.approx(sum(finite) / 4)
    assert list(logged["gradients/norm"]) == [0, 2, 3, 5]


def test_a_module_that_keeps_no_clip_result_is_measured_before_the_trainer_clips() -> None:
    free, clipped = GradientNorms(), GradientNorms()
    fit(PlainModule(), free, max_steps=1)
    fit(PlainModule(), clipped, max_steps=1, gradient_clip_val=1e-4)
    assert clipped.norm_max == free.norm_max > 1e-4


def test_groups_by_depth_make_up_the_global_norm() -> None:
    module = ClippingModule(NormClipping(max_norm=1e-3))
    logged = fit(module, GradientNorms(by_group_every_n_steps=2))
    groups = {name: values for name, values in logged.items() if name.startswith("gradients/layers/")}
    assert list(groups) == [f"gradients/layers/{group}" for group in ("00_embeddings", "01", "02_head")]
    for step in (0, 2, 4):
        together = math.sqrt(sum(values[step] ** 2 for values in groups.values()))
        assert together == pytest.approx(module.seen[step].norm, rel=1e-5)
    assert all(list(values) == [0, 2, 4] for values in groups.values())


def test_groups_of_a_module_without_depths_are_its_top_level_children() -> None:
    class Pair(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.head = nn.Linear(1, 1, bias=False), nn.Sequential(nn.Linear(1, 1))

    module = Pair()
    module.encoder.weight.grad = torch.tensor([[2.0]])
    module.head[0].weight.grad, module.head[0].bias.grad = torch.tensor([[3.0]]), torch.tensor([4.0])
    assert group_norms(module) == pytest.approx({"encoder": 2.0, "head": 5.0})


def test_norm_is_logged_every_n_steps_but_every_step_counts() -> None:
    callback = GradientNorms(every_n_steps=4)
    logged = fit(ClippingModule(NormClipping()), callback)
    assert list(logged["gradients/norm"]) == [0, 4]
    assert callback.steps == 6


def test_counts_reach_the_trainers_metrics_at_the_end_of_an_epoch(tmp_path: Path) -> None:
    callback = GradientNorms()
    trainer = trainer_with(callback, CSVLogger(tmp_path))
    trainer.fit(ClippingModule(NormClipping(max_norm=1e-3)), batches())
    assert trainer.callback_metrics["gradients/clipped_steps"] == 1.0
    assert trainer.callback_metrics["gradients/max"].item() == pytest.approx(callback.norm_max)


def test_a_fit_without_logger_still_counts() -> None:
    callback = GradientNorms()
    trainer_with(callback, max_steps=3).fit(ClippingModule(NormClipping()), batches())
    assert callback.steps == 3


def test_a_resumed_fit_goes_on_counting_as_if_never_interrupted(tmp_path: Path) -> None:
    whole, before, after = GradientNorms(), GradientNorms(), GradientNorms()
    fit(ClippingModule(NormClipping(max_norm=0.05)), whole, max_epochs=2)
    trainer = trainer_with(before)
    trainer.fit(ClippingModule(NormClipping(max_norm=0.05)), batches())
    trainer.save_checkpoint(tmp_path / "saved.ckpt")
    fit(ClippingModule(NormClipping(max_norm=0.05)), after, max_epochs=2, checkpoint=tmp_path / "saved.ckpt")
    assert (before.steps, after.steps) == (6, 12)
    assert after.state_dict() == whole.state_dict()


def test_state_round_trip() -> None:
    saved, loaded = GradientNorms(), GradientNorms()
    for result in (ClipResult(2.0, 0.0), ClipResult(6.0, 1.0, 5.0), ClipResult(math.inf, 1.0)):
        saved.observe(result)
    loaded.load_state_dict(saved.state_dict())
    assert loaded.summary() == saved.summary()
    assert loaded.summary() == {
        "gradients/clipped_steps": pytest.approx(2 / 3),
        "gradients/non_finite_steps": 1.0,
        "gradients/max": 6.0,
        "gradients/mean": 4.0,
        "gradients/ratio_max_to_mean": 1.5,
    }


def test_nothing_to_say_before_the_first_step() -> None:
    assert GradientNorms().summary() == {}


@pytest.mark.parametrize("name", ["every_n_steps", "by_group_every_n_steps"])
def test_fewer_than_one_step_between_points_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be at least 1"):
        GradientNorms(**{name: 0})
