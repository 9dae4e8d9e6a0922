"""Gradient clipping by our strategies in any Lightning module, whoever keeps the gradients: torch or DeepSpeed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import lightning as L
from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_modules.deepspeed import DeepSpeed
from nines.clipping.base import ClipResult, GradientClipping
from nines.clipping.none import NoClipping
from nines.errors import CapabilityError, ConfigError


class ClippedTraining(L.LightningModule):
    """Clips by `clipping`, and keeps in `last_clip` what it saw, which `callbacks.gradient_norms` logs.

    Call `check_clipping` in `setup`: there a strategy that cannot do it is refused, and DeepSpeed's engine is told.

    Attributes:
        clipping: The strategy; set it in the constructor.
        last_clip: Norm, clipped share and threshold of the last optimizer step, None before the first.
    """

    clipping: GradientClipping
    last_clip: ClipResult | None = None

    def clipped_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        """Names and parameters as clipping strategies see them; those without a gradient are left out later."""
        return self.named_parameters()

    def check_clipping(self) -> None:
        """Hand the limit to DeepSpeed's engine where that keeps the gradients.

        Raises:
            CapabilityError: The trainer's strategy does not let this clipping reach the gradients.
        """
        strategy, name = self.trainer.strategy, type(self.clipping).__name__
        if isinstance(strategy, DeepSpeedStrategy) and not isinstance(strategy, DeepSpeed):
            raise CapabilityError(
                "Lightning's own DeepSpeed strategy takes other steps than DDP; use trainer=deepspeed_zero2, or "
                "lightning_modules.deepspeed.DeepSpeed"
            )
        if isinstance(strategy, DeepSpeed) and self._engine_clips:
            algorithm, limit = self.clipping.native or (None, 0.0)
            if algorithm != "norm" and not isinstance(self.clipping, NoClipping):
                raise CapabilityError(
                    f"{name} cannot reach the gradients under DeepSpeed, whose engine keeps them to itself and clips "
                    "by norm only; use clipping=norm or clipping=none, or trainer=ddp"
                )
            strategy.clip_by_norm(limit)
        sharded = isinstance(strategy, FSDPStrategy | ModelParallelStrategy)
        if sharded and not self.clipping.supports_sharded_gradients:
            raise CapabilityError(
                f"{name} needs whole gradients, which {type(strategy).__name__} does not keep; "
                "use clipping=norm or clipping=none, or a strategy that does not shard (ddp)"
            )

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by our strategy, and keep what it saw for the callbacks."""
        if gradient_clip_val is not None:
            raise ConfigError("choose clipping by the group `clipping=…`, not by trainer.gradient_clip_val")
        if self._engine_clips:
            return  # while it steps
        named = [(name, parameter) for name, parameter in self.clipped_parameters() if parameter.grad is not None]
        self.last_clip = self.clipping.clip(named)

    def optimizer_step(self, *arguments: Any, **options: Any) -> None:
        """Step, and keep what DeepSpeed's engine saw: it tells the norm before clipping only afterwards."""
        super().optimizer_step(*arguments, **options)
        strategy = self.trainer.strategy
        if self._engine_clips and isinstance(strategy, DeepSpeed):
            self.last_clip = strategy.last_clip()

    def gradient_of(self, parameter: nn.Parameter) -> Tensor | None:
        """The gradient of `parameter` before a step, averaged over ranks; call it on every rank."""
        strategy = self.trainer.strategy
        return strategy.gradient_of(parameter) if isinstance(strategy, DeepSpeed) else parameter.grad

    @property
    def _engine_clips(self) -> bool:
        """Whether gradients are DeepSpeed's own; at stage 0 they are whole and ours."""
        strategy = self.trainer.strategy
        return isinstance(strategy, DeepSpeed) and strategy.stage > 0
