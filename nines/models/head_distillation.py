"""One head that says what an ensemble says: its mean, or also how much its members disagree."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nines.errors import DataError
from nines.models.head_ensemble import HeadOptions, Heads, cross_entropy
from nines.statistics.ensembles import beta_knowledge_uncertainty, member_probabilities

SMOOTHING = 1e-3
"""Members' predictions are moved so far towards ½: the density of a beta distribution has no value at 0 and 1."""

FIRST_TEMPERATURE = 5.0
"""What the members' log-odds are divided by at first, falling to 1 over the first half of the steps."""


class MeanStudent:
    """A head that learns the ensemble's mean probability as a soft label (Hinton et al. 2015, at temperature 1).

    Args:
        options: Of its training.
        seed: Of everything random.
    """

    def __init__(self, options: HeadOptions | None = None, *, seed: int = 0) -> None:
        self.options, self.seed = options or HeadOptions(), seed
        self._heads: Heads | None = None

    def fit(self, features: NDArray[np.float32], members: NDArray[np.float64]) -> MeanStudent:
        """Learn from the members' probabilities, (members, rows), of rows with these features, (rows, width)."""
        aims = torch.from_numpy(member_probabilities(members).mean(axis=0).astype(np.float32))
        self._heads = Heads([self.options], features=features.shape[1], seed=self.seed)
        self._heads.train_on(
            torch.from_numpy(features), lambda outputs, rows, _: cross_entropy(outputs, aims[rows]), seed=self.seed
        )
        return self

    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """P(injurious), (rows,).

        Raises:
            DataError: `fit` was not called.
        """
        return torch.sigmoid(_outputs(self._heads, features)[:, 0]).numpy()


class DistributionStudent:
    """A head that learns the distribution of the members' probabilities (EnD², Malinin et al. 2020, section 3).

    It says two concentrations of a Dirichlet, for two classes a beta distribution, and is trained by the likelihood of
    the members' predictions under it. So one forward pass gives probability and knowledge uncertainty. As there, the
    members' log-odds are first cooled, which draws their predictions together.

    Args:
        options: Of its training.
        seed: Of everything random.
    """

    def __init__(self, options: HeadOptions | None = None, *, seed: int = 0) -> None:
        self.options, self.seed = options or HeadOptions(), seed
        self._heads: Heads | None = None

    def fit(self, features: NDArray[np.float32], members: NDArray[np.float64]) -> DistributionStudent:
        """Learn from the members' probabilities, (members, rows), of rows with these features, (rows, width)."""
        smooth = (1 - SMOOTHING) * member_probabilities(members) + SMOOTHING / 2
        odds = torch.from_numpy(np.log(smooth / (1 - smooth)).astype(np.float32))
        self._heads = Heads([self.options], features=features.shape[1], outputs=2, seed=self.seed)
        self._heads.train_on(
            torch.from_numpy(features),
            lambda outputs, rows, done: beta_negative_log_likelihood(outputs, odds[:, rows] / temperature(done)),
            seed=self.seed,
        )
        return self

    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """P(injurious): the mean of the distribution, (rows,).

        Raises:
            DataError: `fit` was not called.
        """
        injurious, safe = self._concentrations(features)
        return injurious / (injurious + safe)

    def knowledge_uncertainty(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """What the members would disagree about, in nats, (rows,).

        Raises:
            DataError: `fit` was not called.
        """
        return beta_knowledge_uncertainty(*self._concentrations(features))

    def _concentrations(self, features: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        injurious, safe = _concentrations(_outputs(self._heads, features)).numpy().T
        return injurious, safe


def temperature(done: float) -> float:
    """From the share of the steps that is done, in [0, 1], what log-odds are divided by."""
    return max(1.0, FIRST_TEMPERATURE - 2 * done * (FIRST_TEMPERATURE - 1))


def beta_negative_log_likelihood(outputs: Tensor, odds: Tensor) -> Tensor:
    """Of the members' predictions under the beta distributions that the heads say.

    Args:
        outputs: Logarithms of the concentrations of injurious and safe, (heads, rows, 2).
        odds: The members' log-odds, (members, rows).

    Returns:
        Mean over members in nats, (heads, rows).
    """
    injurious, safe = _concentrations(outputs).unbind(dim=-1)
    log_probability = torch.nn.functional.logsigmoid(odds).mean(dim=0)
    log_rest = torch.nn.functional.logsigmoid(-odds).mean(dim=0)
    normaliser = torch.lgamma(injurious) + torch.lgamma(safe) - torch.lgamma(injurious + safe)
    return normaliser - (injurious - 1) * log_probability - (safe - 1) * log_rest


def _concentrations(outputs: Tensor) -> Tensor:
    """Kept between 0.0025 and 8,100, where the likelihood is finite in float32."""
    return outputs.clamp(-6.0, 9.0).exp()


def _outputs(heads: Heads | None, features: NDArray[np.float32]) -> Tensor:
    if heads is None:
        raise DataError("fit the student before asking it for probabilities")
    with torch.no_grad():
        outputs: Tensor = heads(torch.from_numpy(features))[0].double()
    return outputs
