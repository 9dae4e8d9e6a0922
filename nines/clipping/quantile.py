"""Clipping by a running quantile: the limit on the global norm follows the norms that the run itself has shown."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import Parameter

from nines.clipping.base import ClipResult, GradientClipping, drop_step, global_norm, gradients_of, shorten
from nines.errors import ConfigError


class QuantileClipping(GradientClipping):
    """AutoClip (Seetharaman et al. 2020, algorithm 1): clip the norm to a percentile of the norms so far.

    The norm of the step itself, before clipping, belongs to the history. Two things differ from the paper: the history
    is a window of the last norms, since early ones say little about the end of a long run (the paper keeps all: set a
    window as long as the run), and the first steps are not clipped, while there is too little history. Norms that are
    not finite stay out of the history; such steps are dropped.

    Args:
        percentile: In (0, 100]. About that share of steps stays whole: the paper's 10 shortens nine steps of ten, 90
            only outliers, 100 none.
        window: Length of the history in steps, at least 1.
        warmup_steps: Steps without clipping at the start, at least 0 and at most `window`.

    Raises:
        ConfigError: Values out of range.
    """

    history: Tensor
    seen: Tensor

    def __init__(self, *, percentile: float = 10.0, window: int = 1000, warmup_steps: int = 10) -> None:
        super().__init__()
        if not 0 < percentile <= 100:
            raise ConfigError(f"module.clipping: percentile must lie in (0, 100], got {percentile}")
        if window < 1:
            raise ConfigError(f"module.clipping: window is a number of steps, at least 1, got {window}")
        if not 0 <= warmup_steps <= window:
            raise ConfigError(
                f"module.clipping: warmup_steps ({warmup_steps}) must lie between 0 and window ({window}); "
                "norms beyond the window would be forgotten before they were used"
            )
        self.percentile = float(percentile)
        self.warmup_steps = warmup_steps
        # A ring of norms and the number of them ever seen: together they resume a run exactly.
        self.register_buffer("history", torch.zeros(window))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def clip(self, named_parameters: Sequence[tuple[str, Parameter]]) -> ClipResult:
        """Remember the norm, and shorten the gradient to the percentile of the history where it is longer."""
        total, norm = global_norm(gradients_of(named_parameters))
        if not math.isfinite(norm):
            return drop_step(named_parameters)
        threshold = self._observe(norm)
        if threshold is None:
            return ClipResult(norm=norm, clipped_share=0.0)
        clipped = norm > threshold
        if clipped:
            shorten(named_parameters, to=threshold, total=total)
        return ClipResult(norm=norm, clipped_share=float(clipped), threshold=threshold)

    def _observe(self, norm: float) -> float | None:
        window = len(self.history)
        seen = int(self.seen.item())
        self.history[seen % window] = norm
        self.seen += 1
        if seen < self.warmup_steps:
            return None
        # A whole-module cast may have made the buffer bf16, which quantile refuses.
        known = self.history[: min(seen + 1, window)].float()
        return float(torch.quantile(known, self.percentile / 100).item())
