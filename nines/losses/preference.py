"""Likelihoods of comparisons: which of two completions a reader prefers, given the difference of their scores."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, logsigmoid

from nines.errors import ConfigError

FIRST: Final = 1
TIE: Final = 0
SECOND: Final = -1


class PreferenceLoss(nn.Module):
    """Negative log-likelihood of judgements under a model of paired comparison. Subclasses define the probabilities.

    A margin asks more of a clear judgement (Touvron et al. 2023, "Llama 2", eq. 2): the likelihood that the preferred
    completion wins is taken at a difference smaller by `margin * clarity`. Scores then spread wider than the
    probabilities warrant, so a margin above 0 buys ranking at the price of calibration. Ties have no margin.

    Everything is computed in float32 or wider, also under autocast.

    Args:
        margin: Difference in log-odds that each unit of clarity asks for, at least 0.

    Attributes:
        models_ties: Whether the model gives a tie a probability of its own.

    Raises:
        ConfigError: A negative margin.
    """

    models_ties = True

    def __init__(self, *, margin: float = 0.0) -> None:
        super().__init__()
        if not (math.isfinite(margin) and margin >= 0):
            raise ConfigError(f"module.loss.margin={margin} must not be negative")
        self.margin = margin

    def forward(self, difference: Tensor, outcome: Tensor, share: Tensor, clarity: Tensor) -> Tensor:
        """The mean over pairs of `-sum(share * log P(outcome))`, a scalar.

        Args:
            difference: Score of the first completion minus that of the second, `(batch,)`, of any floating type.
            outcome: What each reading of a pair prefers: 1 the first, 0 a tie, -1 the second, `(batch, readings)`.
            share: What each reading counts, `(batch, readings)`: summing to 1 in each row, 0 where there is none.
            clarity: How clear each reading was, `(batch, readings)`, 0 where that is unknown.

        Raises:
            ValueError: Shapes that do not fit.
        """
        if difference.ndim != 1 or outcome.shape[:1] != difference.shape or outcome.ndim != 2:
            raise ValueError(f"expected (batch,) and (batch, readings), got {difference.shape} and {outcome.shape}")
        if not outcome.shape == share.shape == clarity.shape:
            shapes = [tuple(tensor.shape) for tensor in (outcome, share, clarity)]
            raise ValueError(f"outcome, share and clarity must have one shape, got {shapes}")
        with torch.autocast(device_type=difference.device.type, enabled=False):
            wide = difference.to(torch.promote_types(difference.dtype, torch.float32)).unsqueeze(1)
            asked = wide - outcome * clarity.to(wide) * self.margin
            return -(share.to(wide) * self.log_likelihood(asked, outcome)).sum() / len(difference)

    def log_likelihood(self, difference: Tensor, outcome: Tensor) -> Tensor:
        """`log P(outcome)` at each difference, in nats; both of one shape, which the result has."""
        place = (1 - outcome).long().unsqueeze(-1)  # first, tie, second
        return self.log_probabilities(difference).gather(-1, place).squeeze(-1)

    def log_probabilities(self, difference: Tensor) -> Tensor:
        """`log P` of first, tie and second, `(…, 3)`, at each difference `(…)`."""
        raise NotImplementedError


class BradleyTerry(PreferenceLoss):
    """`P(first) = sigmoid(d)` (Bradley and Terry 1952): no ties; a tie counts as half a win for each.

    Half a win each keeps equal completions at equal scores, and is what `P(first) + ½ P(tie)` becomes in a model that
    knows no ties.
    """

    models_ties = False

    def log_likelihood(self, difference: Tensor, outcome: Tensor) -> Tensor:
        """`log P(outcome)`; of a tie the mean of both log-probabilities."""
        signed = torch.where(outcome == TIE, difference, difference * outcome)
        halves = 0.5 * (logsigmoid(difference) + logsigmoid(-difference))
        return torch.where(outcome == TIE, halves, logsigmoid(signed))

    def log_probabilities(self, difference: Tensor) -> Tensor:
        """`log P` of first, tie (minus infinity) and second, `(…, 3)`."""
        never = torch.full_like(difference, -math.inf)
        return torch.stack([logsigmoid(difference), never, logsigmoid(-difference)], dim=-1)


class _Tied(PreferenceLoss):
    """A model with one learned parameter for ties.

    Args:
        tie_probability: P(tie) of two completions with equal scores before training, in (0, 1).
        margin: See `PreferenceLoss`.

    Raises:
        ConfigError: A probability outside (0, 1).
    """

    def __init__(self, *, tie_probability: float = 0.1, margin: float = 0.0) -> None:
        super().__init__(margin=margin)
        if not 0.0 < tie_probability < 1.0:
            raise ConfigError(f"module.loss.tie_probability={tie_probability} must lie in (0, 1)")
        self.tie_probability = tie_probability


class Davidson(_Tied):
    """`P(tie) = nu sqrt(pa pb) / (pa + pb + nu sqrt(pa pb))` with `p = exp(score)` (Davidson 1970, eq. 1.3).

    The three log-odds are linear, `(d/2, log nu, -d/2)`, and `P(first) / P(second) = exp(d)` as without ties.
    """

    def __init__(self, *, tie_probability: float = 0.1, margin: float = 0.0) -> None:
        super().__init__(tie_probability=tie_probability, margin=margin)
        nu = 2 * tie_probability / (1 - tie_probability)
        self.log_nu = nn.Parameter(torch.tensor(math.log(nu)))

    def log_probabilities(self, difference: Tensor) -> Tensor:
        """`log P` of first, tie and second, `(…, 3)`."""
        tie = self.log_nu.to(difference.dtype).expand_as(difference)
        return log_softmax(torch.stack([difference / 2, tie, -difference / 2], dim=-1), dim=-1)


class RaoKupper(_Tied):
    """`P(first) = pa / (pa + theta pb)`, ties where neither is ahead by a threshold (Rao and Kupper 1967, eq. 2.7).

    `eta = log theta > 0` is the difference in log-odds that a reader does not notice; `P(first) = sigmoid(d - eta)`.
    """

    def __init__(self, *, tie_probability: float = 0.1, margin: float = 0.0) -> None:
        super().__init__(tie_probability=tie_probability, margin=margin)
        self.log_eta = nn.Parameter(torch.tensor(math.log(2 * math.atanh(tie_probability))))

    def log_probabilities(self, difference: Tensor) -> Tensor:
        """`log P` of first, tie and second, `(…, 3)`."""
        eta = self.log_eta.to(difference.dtype).exp()
        first, second = logsigmoid(difference - eta), logsigmoid(-difference - eta)
        # P(tie) = (theta² - 1) P(first) P(second); log(exp(2 eta) - 1) without overflow or cancellation.
        tie = first + second + 2 * eta + torch.log(-torch.expm1(-2 * eta))
        return torch.stack([first, tie, second], dim=-1)
