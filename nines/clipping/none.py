"""No clipping: gradients stay as they are, and only their norm is reported."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch.nn import Parameter

from nines.clipping.base import ClipResult, GradientClipping, global_norm, gradients_of


class NoClipping(GradientClipping):
    """Leaves every gradient alone, a non-finite one too; the baseline against which clipping shows what it is worth."""

    supports_sharded_gradients = True

    def clip(self, named_parameters: Sequence[tuple[str, Parameter]]) -> ClipResult:
        """Measure the global norm; change nothing."""
        _, norm = global_norm(gradients_of(named_parameters))
        return ClipResult(norm=norm if math.isfinite(norm) else math.inf, clipped_share=0.0)
