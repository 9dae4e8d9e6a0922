"""The binned calibration error: its interval must hold, whether the error is there or chance alone."""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.coverage.simulation import Regime, Replications
from nines.statistics.reliability_diagram import calibration_error, reliability_diagram


def miscalibrated(
    rng: np.random.Generator, replications: int, *, prompts: int, completions: int, power: float, selected: float
) -> Replications:
    """Probabilities p with the true rate `p ** power`; rows of a prompt share p; safe-looking ones weigh more.

    The truth is the error over the very bins of each replication, with the true rates in place of the observed ones.
    """
    clusters = np.repeat(np.arange(prompts), completions)
    found = np.empty((replications, 4))
    for row in range(replications):
        probabilities = rng.beta(0.5, 3.0, size=prompts)[clusters]
        rates = probabilities**power
        weights = np.where(probabilities < 0.1, 1.0 / selected, 1.0)
        positive = rng.random(len(clusters)) < rates
        estimate = calibration_error(probabilities, positive, weights=weights, prompts=clusters, bins=5)
        truth = 0.0
        for one in reliability_diagram(
            probabilities, positive, weights=weights, prompts=clusters, bins=5, equal_weight=True
        ):
            inside = (probabilities >= one.lowest) & (probabilities <= one.highest)
            truth += one.share * abs(one.predicted - float(np.average(rates[inside], weights=weights[inside])))
        found[row] = truth, estimate.estimate, estimate.lower, estimate.upper
    return Replications(*found.T)


REGIMES = tuple(
    Regime(
        f"calibration error, {prompts} prompts of {completions}, true rate p**{power:g}, weights to {1 / selected:g}",
        partial(miscalibrated, prompts=prompts, completions=completions, power=power, selected=selected),
        unbiased=False,
    )
    for prompts, completions, power, selected in ((300, 1, 1.0, 1.0), (150, 4, 1.0, 0.2), (150, 4, 1.5, 0.2))
)
