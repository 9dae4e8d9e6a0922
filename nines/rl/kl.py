"""Divergence of the policy from its reference: estimators from sampled tokens, the exact one, and coefficients."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from nines.errors import ConfigError

EstimatorName = Literal["k1", "k2", "k3"]


def k1(log_probs: Tensor, reference: Tensor) -> Tensor:
    """`log p(x) - log q(x)`: unbiased for KL(p‖q) with x ~ p, and of high variance; negative for half of the tokens.

    Args:
        log_probs: Log-probabilities of the sampled tokens under the policy p, any shape.
        reference: Those under the reference q, same shape.
    """
    return log_probs - reference


def k2(log_probs: Tensor, reference: Tensor) -> Tensor:
    """`(log p(x) - log q(x))² / 2`: never negative, of low variance, biased to second order (Schulman 2020)."""
    return 0.5 * (log_probs - reference).square()


def k3(log_probs: Tensor, reference: Tensor) -> Tensor:
    """`q(x)/p(x) - 1 + log p(x) - log q(x)`: unbiased and never negative (Schulman 2020).

    Its variance is small near p = q, but infinite where q has much more mass than p on rarely sampled tokens.
    """
    log_ratio = reference - log_probs
    return torch.expm1(log_ratio) - log_ratio


ESTIMATORS: Mapping[EstimatorName, Callable[[Tensor, Tensor], Tensor]] = {"k1": k1, "k2": k2, "k3": k3}


def exact_kl(logits: Tensor, reference_logits: Tensor) -> Tensor:
    """KL(p‖q) at each position over the whole vocabulary, in nats.

    Args:
        logits: Of the policy, shape (…, vocabulary); -inf excludes a token.
        reference_logits: Of the reference, same shape.

    Returns:
        Shape (…,), at least 0; infinite where p has mass that q excludes.
    """
    log_p = torch.log_softmax(logits.float(), dim=-1)
    log_q = torch.log_softmax(reference_logits.float(), dim=-1)
    terms = log_p.exp() * (log_p - log_q)
    # 0 · log 0 is 0 here; the subtraction of two infinities would make it NaN.
    return terms.masked_fill(log_p == -math.inf, 0).sum(dim=-1)


class KLCoefficient(Protocol):
    """How strongly divergence is penalised, and how that changes during training."""

    @property
    def value(self) -> float:
        """The coefficient now, at least 0."""

    def update(self, kl: float, *, completions: int) -> None:
        """Take notice of the mean KL of a completion, in nats, over `completions` sampled ones."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must keep."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what a checkpoint kept."""


class FixedKLCoefficient:
    """The same coefficient throughout.

    Args:
        value: At least 0; 0 leaves the policy free.

    Raises:
        ConfigError: It is negative or not finite.
    """

    def __init__(self, value: float = 0.05) -> None:
        self.value = _checked("value", value, least=0.0)

    def update(self, kl: float, *, completions: int) -> None:
        """Nothing changes."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing to keep: the value is configuration."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing was kept."""


class AdaptiveKLCoefficient:
    """A proportional controller that steers the KL of a completion towards a target (Ziegler et al. 2019, section 2.2).

    `error = clip(KL / target - 1, -0.2, 0.2)` and `value <- value * (1 + error * completions / horizon)`.

    Args:
        initial: Coefficient at the start, above 0.
        target: KL of a completion to steer to, in nats, above 0.
        horizon: Completions over which an error of 1 would double the coefficient, above 0.

    Raises:
        ConfigError: One of them is out of range.
    """

    def __init__(self, *, initial: float = 0.05, target: float = 6.0, horizon: float = 10_000.0) -> None:
        self.value = _checked("initial", initial, above=0.0)
        self.target = _checked("target", target, above=0.0)
        self.horizon = _checked("horizon", horizon, above=0.0)

    def update(self, kl: float, *, completions: int) -> None:
        """Move the coefficient by at most 20 % for each horizon's worth of completions.

        A KL that is not finite leaves it alone: one broken batch must not spoil the rest of the run.
        """
        if not math.isfinite(kl):
            return
        error = min(max(kl / self.target - 1.0, -0.2), 0.2)
        self.value *= 1.0 + error * completions / self.horizon

    def state_dict(self) -> dict[str, Any]:
        """The coefficient that was reached."""
        return {"value": self.value}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from it."""
        self.value = float(state["value"])


def _checked(name: str, value: float, *, least: float | None = None, above: float | None = None) -> float:
    if not math.isfinite(value) or (least is not None and value < least) or (above is not None and value <= above):
        bound = f"at least {least:g}" if least is not None else f"above {above:g}"
        raise ConfigError(f"KL coefficient: {name} must be {bound} and finite, got {value}")
    return float(value)
