"""AdamW with layer-wise learning rate decay, and learning rate schedules by optimizer step."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Literal

import torch
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from nines.errors import ConfigError

Schedule = Literal["constant", "linear", "cosine"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerOptions:
    """How the parameters are updated.

    Attributes:
        lr: Peak learning rate of the head and the uppermost layer, above 0.
        weight_decay: Decoupled weight decay (Loshchilov and Hutter 2019) of matrices; biases and norms have none.
        beta1: Decay of the running mean of gradients, in [0, 1).
        beta2: Decay of the running mean of squared gradients, in [0, 1).
        epsilon: Added to the denominator of the update, above 0.
        layer_decay: Factor on the learning rate from each layer to the one below it (ULMFiT, Howard and Ruder 2018),
            in (0, 1]; 1 gives every layer the same rate.
        head_lr_factor: Factor on `lr` for the new head, above 0.
        warmup: Share of all steps over which the rate rises linearly from 0, in [0, 1).
        schedule: What follows the warm-up: constant, or a linear or cosine decay to 0.
    """

    lr: float = 2e-4
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    layer_decay: float = 1.0
    head_lr_factor: float = 1.0
    warmup: float = 0.1
    schedule: Schedule = "linear"

    def __post_init__(self) -> None:
        checks = {
            "lr must be above 0": self.lr > 0,
            "weight_decay must not be negative": self.weight_decay >= 0,
            "beta1 must lie in [0, 1)": 0 <= self.beta1 < 1,
            "beta2 must lie in [0, 1)": 0 <= self.beta2 < 1,
            "epsilon must be above 0": self.epsilon > 0,
            "layer_decay must lie in (0, 1]": 0 < self.layer_decay <= 1,
            "head_lr_factor must be above 0": self.head_lr_factor > 0,
            "warmup is a share of all steps and must lie in [0, 1)": 0 <= self.warmup < 1,
            "schedule must be constant, linear or cosine": self.schedule in {"constant", "linear", "cosine"},
        }
        for reason, holds in checks.items():
            if not holds:
                raise ConfigError(f"module.optimizer: {reason} (got {self})")


def build_optimizer(
    named_parameters: Iterable[tuple[str, torch.nn.Parameter]],
    options: OptimizerOptions,
    *,
    depth_of: Callable[[str], int],
    head_depth: int,
) -> AdamW:
    """AdamW over the trainable parameters, one group for each learning rate and weight decay.

    Args:
        named_parameters: Names and parameters; those that need no gradient are left out.
        options: See `OptimizerOptions`.
        depth_of: Maps a name to its depth: 0 for embeddings, 1 to L for layers, `head_depth` = L + 1 for the head.
        head_depth: Depth of the head.

    Returns:
        The optimizer; each group carries the key `depth`.

    Raises:
        ConfigError: Everything is frozen.
    """
    groups: dict[tuple[int, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in named_parameters:
        if parameter.requires_grad:
            # ZeRO-3 leaves an empty vector in a parameter's place and keeps its shape apart.
            dimensions = len(getattr(parameter, "ds_shape", parameter.shape))
            groups.setdefault((depth_of(name), dimensions >= 2), []).append(parameter)
    if not groups:
        raise ConfigError("nothing is left to train: every parameter is frozen")
    return AdamW(
        [
            {
                "params": parameters,
                "lr": group_learning_rate(options, depth=depth, head_depth=head_depth),
                "weight_decay": options.weight_decay if decays else 0.0,
                "depth": depth,
            }
            for (depth, decays), parameters in sorted(groups.items(), key=lambda item: item[0])
        ],
        betas=(options.beta1, options.beta2),
        eps=options.epsilon,
        # One kernel a step instead of a dozen for each tensor; 0.94 of the time on CPU.
        fused=all(p.is_floating_point() for parameters in groups.values() for p in parameters),
    )


def group_learning_rate(options: OptimizerOptions, *, depth: int, head_depth: int) -> float:
    """Peak learning rate at `depth`: `lr · layer_decay^(layers between it and the uppermost)`."""
    if depth >= head_depth:
        return options.lr * options.head_lr_factor
    return float(options.lr * options.layer_decay ** (head_depth - 1 - depth))


def schedule_factor(step: int, *, total_steps: int, warmup: float, schedule: Schedule) -> float:
    """Factor on the peak learning rate at optimizer step `step` (from 0) of `total_steps`, in [0, 1]."""
    warmup_steps = math.ceil(warmup * total_steps)
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    progress = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    if schedule == "linear":
        return 1.0 - progress
    if schedule == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * progress))
    return 1.0


def build_schedule(optimizer: AdamW, options: OptimizerOptions, *, total_steps: int) -> LambdaLR:
    """The learning rate schedule of `options` over `total_steps` optimizer steps, to be stepped at every one."""

    def factor(step: int) -> float:
        return schedule_factor(step, total_steps=total_steps, warmup=options.warmup, schedule=options.schedule)

    return LambdaLR(optimizer, factor)


def total_optimizer_steps(
    batches: int, *, limit: int | float = 1.0, accumulate: int = 1, max_epochs: int | None = None, max_steps: int = -1
) -> int:
    """Optimizer steps of a whole fit.

    `Trainer.estimated_stepping_batches` is not asked for it: it sets the training loader up before a checkpoint's
    place in the epoch has been restored, and the resumed epoch would start over.

    Args:
        batches: Batches of one rank in an epoch.
        limit: `limit_train_batches`: a share of the epoch as a float, or a number of batches.
        accumulate: Batches summed up for one step; the last window of an epoch may be shorter.
        max_epochs: Epochs, None or -1 for no limit.
        max_steps: Steps, -1 for no limit.

    Raises:
        ConfigError: Neither epochs nor steps are limited.
    """
    limited = min(limit, batches) if isinstance(limit, int) else int(batches * limit)
    each_epoch = math.ceil(limited / accumulate)
    by_epochs = max_epochs * each_epoch if max_epochs is not None and max_epochs >= 0 else None
    limits = [steps for steps in (by_epochs, max_steps if max_steps >= 0 else None) if steps is not None]
    if not limits:
        raise ConfigError("training has no end: set trainer.max_epochs or trainer.max_steps")
    return min(limits)
