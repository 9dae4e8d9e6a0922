"""Logs how long gradients are before clipping, how often clipping acts, and which layers the length comes from."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from nines.clipping.base import ClipResult, global_norm
from nines.errors import ConfigError


class GradientNorms(Callback):
    """Gradient norms of a fit, in charts whose names start with `gradients/`.

    At each optimizer step: `norm` (global, before clipping), `threshold` where the strategy has one, `clipped_share`
    of the gradient at this step. Every `by_group_every_n_steps` steps and at the end of each epoch, over all steps
    so far: `max`, `mean`, `ratio_max_to_mean` (how heavy the tail is: near 1 there is nothing to clip), `clipped_steps`
    (share of steps that clipping changed) and `non_finite_steps` (their number; they enter none of the others but
    `clipped_steps`). With them `layers/…`: the norm of each group of layers before clipping.

    Norm and share come from `pl_module.last_clip`, where the module keeps the `ClipResult` of its own clipping. Of
    another module the norm is measured here. Values go to the loggers directly: `self.log` would cost more than
    clipping itself, and would show only each `log_every_n_steps`-th of them. Counts survive a checkpoint.

    Args:
        every_n_steps: Optimizer steps between two points of `norm`, at least 1. Every step enters `max` and `mean`.
        by_group_every_n_steps: Optimizer steps between two points of the rest, at least 1.

    Raises:
        ConfigError: A number of steps below 1.
    """

    def __init__(self, *, every_n_steps: int = 1, by_group_every_n_steps: int = 50) -> None:
        for name, value in (("every_n_steps", every_n_steps), ("by_group_every_n_steps", by_group_every_n_steps)):
            if value < 1:
                raise ConfigError(f"callbacks.gradient_norms: {name} must be at least 1, got {value}")
        self.every_n_steps = every_n_steps
        self.by_group_every_n_steps = by_group_every_n_steps
        self.steps = 0
        self.clipped_steps = 0
        self.non_finite_steps = 0
        self.norm_sum = 0.0
        self.norm_max = 0.0
        self._stepping = False
        self._measured: ClipResult | None = None

    def on_before_optimizer_step(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        optimizer: Optimizer,
    ) -> None:
        """Measure what clipping is about to change: Lightning clips after this hook."""
        self._stepping = True
        if not hasattr(pl_module, "last_clip"):
            gradients = [parameter.grad for parameter in pl_module.parameters() if parameter.grad is not None]
            norm = global_norm(gradients)[1]
            self._measured = ClipResult(norm=norm if math.isfinite(norm) else math.inf, clipped_share=0.0)
        if trainer.loggers and trainer.global_step % self.by_group_every_n_steps == 0:
            norms = {f"gradients/layers/{group}": norm for group, norm in group_norms(pl_module).items()}
            _log(trainer, norms, step=trainer.global_step)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Tensor | Mapping[str, Any] | None,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Count and log what clipping saw, if this batch ended in an optimizer step."""
        if not self._stepping:
            return
        self._stepping = False
        result: ClipResult | None = getattr(pl_module, "last_clip", self._measured)
        if result is None:
            return
        self.observe(result)
        step = trainer.global_step - 1
        if step % self.every_n_steps == 0:
            point = {"gradients/clipped_share": result.clipped_share}
            if result.finite:
                point["gradients/norm"] = result.norm
            if result.threshold is not None:
                point["gradients/threshold"] = result.threshold
            _log(trainer, point, step=step)
        if step % self.by_group_every_n_steps == 0:
            _log(trainer, self.summary(), step=step)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the counts where other callbacks and the final metrics find them, too."""
        pl_module.log_dict(self.summary(), rank_zero_only=True)  # every rank counts the same

    def observe(self, result: ClipResult) -> None:
        """Let one optimizer step enter the counts."""
        self.steps += 1
        self.clipped_steps += result.clipped_share > 0
        if not result.finite:
            self.non_finite_steps += 1
            return
        self.norm_sum += result.norm
        self.norm_max = max(self.norm_max, result.norm)

    def summary(self) -> dict[str, float]:
        """The counts of all steps so far, by chart name; empty before the first step."""
        if self.steps == 0:
            return {}
        values = {
            "gradients/clipped_steps": self.clipped_steps / self.steps,
            "gradients/non_finite_steps": float(self.non_finite_steps),
        }
        finite = self.steps - self.non_finite_steps
        if finite and self.norm_sum > 0:
            mean = self.norm_sum / finite
            values["gradients/max"] = self.norm_max
            values["gradients/mean"] = mean
            values["gradients/ratio_max_to_mean"] = self.norm_max / mean
        return values

    def state_dict(self) -> dict[str, Any]:
        """The counts, so that a resumed run goes on counting."""
        return {
            "steps": self.steps,
            "clipped_steps": self.clipped_steps,
            "non_finite_steps": self.non_finite_steps,
            "norm_sum": self.norm_sum,
            "norm_max": self.norm_max,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from saved counts."""
        self.steps = state_dict["steps"]
        self.clipped_steps = state_dict["clipped_steps"]
        self.non_finite_steps = state_dict["non_finite_steps"]
        self.norm_sum = state_dict["norm_sum"]
        self.norm_max = state_dict["norm_max"]


def group_norms(module: LightningModule) -> dict[str, float]:
    """The gradient norm of each group of layers that has gradients, from the input upwards; call it on every rank.

    Groups are `00_embeddings`, `01` … and `…_head` by `module.model.depth_of(name)` where the model tells depths,
    otherwise the top-level children of `module`.
    """
    model = getattr(module, "model", None)
    depth_of: Callable[[str], int] | None = getattr(model, "depth_of", None)
    groups: defaultdict[str, list[Parameter]] = defaultdict(list)
    if model is not None and depth_of is not None:
        head_depth = int(model.layer_count) + 1
        for name, parameter in model.named_parameters():
            groups[_group_name(depth_of(name), head_depth)].append(parameter)
    else:
        for name, parameter in module.named_parameters():
            groups[name.partition(".")[0]].append(parameter)
    # A module whose gradients are shared out gives whole ones: one group after the other, never those of all layers.
    gradient_of: Callable[[Parameter], Tensor | None] = getattr(module, "gradient_of", _own_gradient)
    norms: dict[str, float] = {}
    with torch.no_grad():
        for name in sorted(groups):
            gradients = [gradient for parameter in groups[name] if (gradient := gradient_of(parameter)) is not None]
            if gradients:
                norms[name] = global_norm(gradients)[1]
    return norms


def _own_gradient(parameter: Parameter) -> Tensor | None:
    return parameter.grad


def _group_name(depth: int, head_depth: int) -> str:
    if depth == 0:
        return "00_embeddings"
    return f"{depth:02d}_head" if depth == head_depth else f"{depth:02d}"


def _log(trainer: Trainer, values: Mapping[str, float], *, step: int) -> None:
    # TensorBoard draws nothing useful for inf; a step that has it is counted in non_finite_steps.
    finite = {name: value for name, value in values.items() if math.isfinite(value)}
    for logger in trainer.loggers:
        logger.log_metrics(finite, step=step)
