"""Clipping by the global norm: the whole gradient keeps its direction and is shortened to a fixed length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from torch.nn import Parameter

from nines.clipping.base import ClipResult, GradientClipping, drop_step, global_norm, gradients_of, shorten
from nines.errors import ConfigError


class NormClipping(GradientClipping):
    """`g <- g * min(1, max_norm / (|g| + 1e-6))` over all gradients together (Pascanu et al. 2013, algorithm 1).

    Args:
        max_norm: Longest allowed Euclidean norm, above 0; 1.0 is usual for fine-tuning encoders.

    Raises:
        ConfigError: `max_norm` is not above 0.
    """

    supports_sharded_gradients = True

    def __init__(self, *, max_norm: float = 1.0) -> None:
        super().__init__()
        if not (math.isfinite(max_norm) and max_norm > 0):
            raise ConfigError(f"module.clipping: max_norm must be above 0, got {max_norm}; use clipping=none for none")
        self.max_norm = float(max_norm)

    @property
    def native(self) -> tuple[Literal["norm", "value"], float] | None:
        """Lightning's clipping by norm does the same."""
        return ("norm", self.max_norm)

    def clip(self, named_parameters: Sequence[tuple[str, Parameter]]) -> ClipResult:
        """Shorten the gradient to `max_norm` where it is longer; drop the step where it is not finite."""
        total, norm = global_norm(gradients_of(named_parameters))
        if not math.isfinite(norm):
            return drop_step(named_parameters, threshold=self.max_norm)
        clipped = norm > self.max_norm
        if clipped:
            shorten(named_parameters, to=self.max_norm, total=total)
        return ClipResult(norm=norm, clipped_share=float(clipped), threshold=self.max_norm)
