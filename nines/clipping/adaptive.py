"""Adaptive clipping: each unit's gradient may be only so large in relation to that unit's weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import Parameter

from nines.clipping.base import ClipResult, GradientClipping, drop_step
from nines.errors import ConfigError


class AdaptiveClipping(GradientClipping):
    """`g_i <- g_i * min(1, clip_factor * max(|w_i|, epsilon) / |g_i|)` for each unit i (Brock et al. 2021, eq. 3).

    A unit is a row of a matrix (all weights into one output; one token's vector in an embedding), a filter of a
    convolution, and for vectors and scalars, such as biases and norms, the whole parameter. It needs whole rows of
    weights and gradients, so it is refused where they are sharded.

    Args:
        clip_factor: Largest |g_i| / |w_i|, above 0; the paper uses 0.01 for large batches, more for small ones.
        epsilon: Smallest |w_i| that is assumed, above 0, so that a unit that starts at zero can leave it.
        exclude: Parameters whose name starts with one of these are left alone. The paper excludes the last layer;
            `["head"]` does that here, and an empty list clips everything.

    Raises:
        ConfigError: Values out of range.
    """

    def __init__(self, *, clip_factor: float = 0.01, epsilon: float = 1e-3, exclude: Sequence[str] = ("head",)) -> None:
        super().__init__()
        if not (math.isfinite(clip_factor) and clip_factor > 0):
            raise ConfigError(f"module.clipping: clip_factor must be above 0, got {clip_factor}")
        if not epsilon > 0:
            raise ConfigError(
                f"module.clipping: epsilon must be above 0, got {epsilon}; at 0 units that start at zero never move"
            )
        if isinstance(exclude, str) or "" in exclude:
            raise ConfigError(
                f"module.clipping: exclude is a list of name prefixes, none of them empty, got {exclude!r}"
            )
        self.clip_factor = float(clip_factor)
        self.epsilon = float(epsilon)
        self.exclude = tuple(exclude)

    @torch.no_grad()
    def clip(self, named_parameters: Sequence[tuple[str, Parameter]]) -> ClipResult:
        """Shorten each unit's gradient that is too long for its weights; drop the step where it is not finite."""
        square_sums: list[Tensor] = []
        clipped_counts: list[Tensor] = []
        units = 0
        for name, parameter in named_parameters:
            gradient = parameter.grad
            if gradient is None or gradient.numel() == 0:
                continue
            lengths = unit_norms(gradient)
            square_sums.append(lengths.square().sum())
            if name.startswith(self.exclude):
                continue
            allowed = self.clip_factor * unit_norms(parameter).clamp_min(self.epsilon)
            too_long = lengths > allowed
            gradient.mul_(torch.where(too_long, allowed / lengths, 1.0).to(gradient.dtype))
            clipped_counts.append(too_long.sum())
            units += lengths.numel()
        if not square_sums:
            return ClipResult(norm=0.0, clipped_share=0.0)
        # One transfer for both numbers: on a GPU each one waits for the device.
        clipped_total = torch.stack(clipped_counts).sum() if clipped_counts else square_sums[0].new_zeros(())
        norm, clipped = torch.stack([torch.stack(square_sums).sum().sqrt(), clipped_total]).tolist()
        if not math.isfinite(norm):
            return drop_step(named_parameters)
        return ClipResult(norm=norm, clipped_share=clipped / units if units else 0.0)


def unit_norms(tensor: Tensor) -> Tensor:
    """Euclidean norm of each unit of a parameter or its gradient, in float32 or wider.

    Args:
        tensor: Of any shape; the first dimension of two or more counts the units, fewer dimensions are one unit.

    Returns:
        Of shape (units, 1, …) with as many dimensions as `tensor`, or (), so that it broadcasts against `tensor`.
    """
    precision = torch.promote_types(tensor.dtype, torch.float32)
    dimensions = tuple(range(1, tensor.ndim)) if tensor.ndim >= 2 else None
    norms: Tensor = torch.linalg.vector_norm(tensor, dim=dimensions, keepdim=tensor.ndim >= 2, dtype=precision)
    return norms
