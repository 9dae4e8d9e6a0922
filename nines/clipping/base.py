"""What every gradient clipping strategy shares: the call, what it reports, and what happens to non-finite gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn import Parameter


@dataclass(frozen=True)
class ClipResult:
    """What one call of `GradientClipping.clip` saw and did.

    Attributes:
        norm: Euclidean norm of all gradients together, before clipping; `inf` if any gradient was not finite.
        clipped_share: What was made smaller, as a share in [0, 1]: of the whole gradient (so 0 or 1) for norm and
            quantile, of its elements for value, of its units for adaptive. 1 if the step was dropped as not finite.
        threshold: The global norm that was allowed at this step; None where the strategy has no such number.
    """

    norm: float
    clipped_share: float
    threshold: float | None = None

    @property
    def finite(self) -> bool:
        """Whether the gradients were finite, so that the step was made."""
        return math.isfinite(self.norm)


class GradientClipping(nn.Module):
    """Makes gradients smaller between backward and optimizer step. State is kept in buffers, for exact resuming.

    A gradient with a NaN or an infinity cannot be scaled to anything useful, and a single such step would spoil all
    weights. So every strategy that clips drops the step: it sets each `.grad` to None, upon which an optimizer leaves
    parameter and moments as they are, and reports the norm `inf`. `NoClipping` lets such a step pass, as its name says.

    Attributes:
        supports_sharded_gradients: Whether the strategy works where no process holds whole gradients (DeepSpeed, FSDP);
            the module that uses it refuses the combination otherwise.
    """

    supports_sharded_gradients = False

    @property
    def native(self) -> tuple[Literal["norm", "value"], float] | None:
        """Algorithm and limit of Lightning's own clipping that does the same, None if there is none."""
        return None

    def clip(self, named_parameters: Sequence[tuple[str, Parameter]]) -> ClipResult:
        """Clip `.grad` of the given parameters in place.

        Args:
            named_parameters: Names and parameters; those without a gradient are passed over. Gradients must be whole,
                unscaled (after the gradient scaler of 16-mixed precision) and already averaged over ranks.

        Returns:
            What was seen and done.
        """
        raise NotImplementedError


def gradients_of(named_parameters: Sequence[tuple[str, Parameter]]) -> list[Tensor]:
    """The gradients that exist."""
    return [parameter.grad for _, parameter in named_parameters if parameter.grad is not None]


def global_norm(gradients: Sequence[Tensor]) -> tuple[Tensor, float]:
    """Euclidean norm of all gradients together; 0 for none.

    Returns:
        The norm as torch's clipping functions take it (sharded if the gradients are), and as a number on which all
        ranks agree.
    """
    norm = torch.nn.utils.get_total_norm(gradients)
    whole = norm.full_tensor() if isinstance(norm, DTensor) else norm
    return norm, float(whole.item())


def drop_step(named_parameters: Sequence[tuple[str, Parameter]], *, threshold: float | None = None) -> ClipResult:
    """Remove all gradients, so that the optimizer changes nothing, and report a norm of `inf`."""
    for _, parameter in named_parameters:
        parameter.grad = None
    return ClipResult(norm=math.inf, clipped_share=1.0, threshold=threshold)


def shorten(named_parameters: Sequence[tuple[str, Parameter]], *, to: float, total: Tensor) -> None:
    """Multiply all gradients by `to / (total + 1e-6)`, exactly as `torch.nn.utils.clip_grad_norm_` does."""
    torch.nn.utils.clip_grads_with_norm_((parameter for _, parameter in named_parameters), to, total)
