"""Clipping by value: every element of the gradient is held within fixed limits, which may turn its direction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn.utils import clip_grad_value_

from nines.clipping.base import ClipResult, GradientClipping, drop_step, global_norm, gradients_of
from nines.errors import ConfigError


class ValueClipping(GradientClipping):
    """`g <- clamp(g, -max_value, max_value)` for each element (Mikolov 2012, section 3.2.2).

    DeepSpeed refuses it, since its flat buffers are clipped by norm only.

    Args:
        max_value: Largest allowed absolute value of an element, above 0. Gradients of fine-tuned encoders are mostly
            below 1e-2; a limit far above that never acts.

    Raises:
        ConfigError: `max_value` is not above 0.
    """

    def __init__(self, *, max_value: float = 0.01) -> None:
        super().__init__()
        if not (math.isfinite(max_value) and max_value > 0):
            raise ConfigError(
                f"module.clipping: max_value must be above 0, got {max_value}; use clipping=none for none"
            )
        self.max_value = float(max_value)

    @property
    def native(self) -> tuple[Literal["norm", "value"], float] | None:
        """Lightning's clipping by value does the same."""
        return ("value", self.max_value)

    def clip(self, named_parameters: Sequence[tuple[str, Parameter]]) -> ClipResult:
        """Clamp all elements; drop the step where the gradient is not finite."""
        gradients = gradients_of(named_parameters)
        _, norm = global_norm(gradients)
        if not math.isfinite(norm):
            return drop_step(named_parameters)
        # No element exceeds the norm of all: most steps of a tame run need no second look.
        share = self._share_above(gradients) if norm > self.max_value else 0.0
        if share > 0:
            clip_grad_value_((parameter for _, parameter in named_parameters), self.max_value)
        return ClipResult(norm=norm, clipped_share=share)

    def _share_above(self, gradients: Sequence[Tensor]) -> float:
        # The largest element of each tensor first, so that only tensors with something to clip are counted through.
        filled = [gradient for gradient in gradients if gradient.numel()]
        largest = torch.stack([torch.linalg.vector_norm(gradient, math.inf).float() for gradient in filled]).tolist()
        over = [gradient for gradient, size in zip(filled, largest, strict=True) if size > self.max_value]
        if not over:
            return 0.0
        limit = self.max_value
        counts = [torch.count_nonzero(part > limit) + torch.count_nonzero(part < -limit) for part in over]
        return float(torch.stack(counts).sum().item()) / sum(gradient.numel() for gradient in gradients)
