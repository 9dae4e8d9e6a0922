"""One regime of a coverage simulation, and the verdict on it.

A regime draws data with a known truth again and again and records each estimate with its interval. `make test` runs
200 replications of each, `python -m benchmarks.coverage` 10,000; both fail on the same test.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import stats

REQUIRED = 0.94
"""The coverage that an interval of nominal 95 % must not fall below."""

SIGNIFICANCE = 0.001
"""How unlikely the misses must be at the required coverage before a regime fails: some hundred regimes are tested."""


@dataclasses.dataclass(frozen=True)
class Replications:
    """What the replications of a regime gave; all arrays have shape (replications,).

    Attributes:
        truth: The true value, of each replication where it differs.
        estimates: Point estimates.
        lower: Lower ends of the intervals.
        upper: Upper ends of the intervals.
    """

    truth: NDArray[np.float64]
    estimates: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Regime:
    """A stated situation in which an interval has to hold.

    Attributes:
        name: What is estimated, by which method, under what: unique, and readable in a table.
        draw: Called with a generator and the number of replications.
        unbiased: Whether the estimator is unbiased, so that its mean error must be within Monte Carlo error of 0.
        holds: Whether nominal coverage is promised here. Regimes in which an interval is known to dip are run and
            reported all the same, with False: the docs state them.
    """

    name: str
    draw: Callable[[np.random.Generator, int], Replications]
    unbiased: bool = True
    holds: bool = True


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the replications say of a regime.

    Attributes:
        regime: Its name.
        replications: How many.
        coverage: Share of intervals that hold the truth.
        coverage_p_value: Chance of so few or fewer at a coverage of `REQUIRED`: one-sided, exact binomial.
        bias: Mean of estimate minus truth.
        bias_z: The same in Monte Carlo standard errors; 0 where all errors are 0.
        mean_width: Mean of upper minus lower end.
        mean_truth: What to compare the width with.
        passed: No promise of the regime is refuted.
    """

    regime: str
    replications: int
    coverage: float
    coverage_p_value: float
    bias: float
    bias_z: float
    mean_width: float
    mean_truth: float
    passed: bool


def judge(regime: Regime, *, replications: int, seed: int = 0) -> Verdict:
    """Run a regime and test its promises.

    Args:
        regime: The regime.
        replications: How many, at least 2.
        seed: Of the generator.

    Raises:
        ValueError: An estimate or an end of an interval is not a number.
    """
    found = regime.draw(np.random.default_rng(seed), replications)
    for name, values in dataclasses.asdict(found).items():
        if np.shape(values) != (replications,) or np.isnan(values).any():
            raise ValueError(f"{regime.name}: {name} must be {replications} numbers")
    held = int(((found.lower <= found.truth) & (found.truth <= found.upper)).sum())
    errors = found.estimates - found.truth
    standard_error = float(errors.std(ddof=1)) / replications**0.5
    bias_z = float(errors.mean()) / standard_error if standard_error > 0 else 0.0
    p_value = float(stats.binom.cdf(held, replications, REQUIRED))
    covered = p_value >= SIGNIFICANCE or not regime.holds
    straight = abs(bias_z) <= float(stats.norm.isf(SIGNIFICANCE / 2)) or not regime.unbiased
    return Verdict(
        regime=regime.name,
        replications=replications,
        coverage=held / replications,
        coverage_p_value=p_value,
        bias=float(errors.mean()),
        bias_z=bias_z,
        mean_width=float((found.upper - found.lower).mean()),
        mean_truth=float(found.truth.mean()),
        passed=covered and straight,
    )
