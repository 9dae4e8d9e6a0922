import math
from typing import Any

import lightning
import pytest
import torch
from lightning.pytorch.demos.boring_classes import RandomDataset
from torch.utils.data import DataLoader
from transformers import get_cosine_schedule_with_warmup

from lightning_modules.optimizers import (
    OptimizerOptions,
    build_optimizer,
    build_schedule,
    group_learning_rate,
    schedule_factor,
    total_optimizer_steps,
)
from nines.errors import ConfigError
from tests.fakes import ScriptedObjective


def parameters() -> list[tuple[str, torch.nn.Parameter]]:
    return [
        ("0.weight", torch.nn.Parameter(torch.ones(3, 2))),
        ("1.weight", torch.nn.Parameter(torch.ones(2, 2))),
        ("1.bias", torch.nn.Parameter(torch.ones(2))),
        ("3.weight", torch.nn.Parameter(torch.ones(1, 2))),
    ]


def depth_of(name: str) -> int:
    return int(name.partition(".")[0])


def test_each_layer_below_the_uppermost_learns_by_the_decay_slower() -> None:
    options = OptimizerOptions(lr=1.0, layer_decay=0.5, head_lr_factor=3.0)
    # two layers: head at depth 3, layers at 2 and 1, embeddings at 0
    rates = [group_learning_rate(options, depth=depth, head_depth=3) for depth in range(4)]
    assert rates == [0.25, 0.5, 1.0, 3.0]


def test_biases_have_no_weight_decay_and_frozen_parameters_no_group() -> None:
    named = parameters()
    named[0][1].requires_grad_(False)
    optimizer = build_optimizer(named, OptimizerOptions(weight_decay=0.1), depth_of=depth_of, head_depth=3)
    found = {(group["depth"], group["weight_decay"]): len(group["params"]) for group in optimizer.param_groups}
    assert found == {(1, 0.0): 1, (1, 0.1): 1, (3, 0.1): 1}


def test_nothing_to_train_is_said() -> None:
    named = parameters()
    for _, parameter in named:
        parameter.requires_grad_(False)
    with pytest.raises(ConfigError, match="every parameter is frozen"):
        build_optimizer(named, OptimizerOptions(), depth_of=depth_of, head_depth=3)


def test_the_linear_schedule_by_hand() -> None:
    factors = [schedule_factor(step, total_steps=10, warmup=0.2, schedule="linear") for step in range(11)]
    assert factors == pytest.approx([1 / 3, 2 / 3, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8, 0])


def test_the_cosine_decay_is_that_of_transformers() -> None:
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    reference = get_cosine_schedule_with_warmup(optimizer, num_warmup_steps=0, num_training_steps=20).lr_lambdas[0]
    ours = [schedule_factor(step, total_steps=20, warmup=0.0, schedule="cosine") for step in range(21)]
    assert ours == pytest.approx([reference(step) for step in range(21)])


def test_the_schedule_scales_every_group_by_the_same_factor() -> None:
    options = OptimizerOptions(lr=0.1, layer_decay=0.5, warmup=0.0, schedule="linear")
    optimizer = build_optimizer(parameters(), options, depth_of=depth_of, head_depth=3)
    peaks = [group["lr"] for group in optimizer.param_groups]
    schedule = build_schedule(optimizer, options, total_steps=4)
    for _ in range(3):
        optimizer.step()
        schedule.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([peak / 4 for peak in peaks])


@pytest.mark.parametrize(
    "bad",
    [{"lr": 0.0}, {"weight_decay": -1.0}, {"beta1": 1.0}, {"layer_decay": 1.1}, {"warmup": 1.0}, {"schedule": "step"}],
)
def test_options_out_of_range_are_refused_with_the_reason(bad: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        OptimizerOptions(**bad)  # type: ignore[arg-type]


def test_the_constant_schedule_stays_at_the_peak_after_the_warm_up() -> None:
    assert {schedule_factor(step, total_steps=9, warmup=0.0, schedule="constant") for step in range(9)} == {1.0}
    assert math.isclose(schedule_factor(0, total_steps=10, warmup=0.1, schedule="constant"), 0.5)


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({"max_epochs": 3}, 30),
        ({"max_epochs": 3, "accumulate": 4}, 9),
        ({"max_epochs": 3, "limit": 0.5}, 15),
        ({"max_epochs": 3, "limit": 4}, 12),
        ({"max_epochs": 3, "limit": 40}, 30),
        ({"max_epochs": 3, "max_steps": 7}, 7),
        ({"max_epochs": -1, "max_steps": 70}, 70),
    ],
)
def test_the_steps_of_a_fit_are_those_that_lightning_estimates(options: dict[str, Any], steps: int) -> None:
    assert total_optimizer_steps(10, **options) == steps
    trainer = lightning.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        max_epochs=options.get("max_epochs"),
        max_steps=options.get("max_steps", -1),
        limit_train_batches=min(options.get("limit", 1.0), 10),
        accumulate_grad_batches=options.get("accumulate", 1),
    )
    estimates: list[float] = []

    class Asking(ScriptedObjective):
        def on_train_start(self) -> None:
            estimates.append(self.trainer.estimated_stepping_batches)
            self.trainer.should_stop = True

    trainer.fit(Asking([]), DataLoader(RandomDataset(32, 10), batch_size=1))
    assert estimates == [steps]


def test_a_fit_without_end_is_refused() -> None:
    with pytest.raises(ConfigError, match="no end"):
        total_optimizer_steps(10, max_epochs=-1)
