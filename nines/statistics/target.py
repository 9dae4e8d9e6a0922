"""The distribution of prompts on which a policy is judged: which prompts count how much is a choice to be stated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from nines.errors import ConfigError
from nines.statistics.estimate import NoEstimateError


def target_weights(strata: Sequence[str], shares: Mapping[str, float] | None = None) -> NDArray[np.float64]:
    """Weight of each prompt, so that the strata have the given shares of the whole and prompts of one count alike.

    Post-stratification: where the prompts were drawn otherwise than the target asks, weighting by share over number
    of prompts makes a weighted mean unbiased for the target (Holt and Smith 1979, eq. 2.1).

    Args:
        strata: Stratum of each prompt, `(n,)`, at least one.
        shares: Share of each stratum, at least 0, in any unit: they are divided by their sum. A stratum that is not
            named has none. None lets every prompt count the same.

    Returns:
        `(n,)`, summing to 1.

    Raises:
        ConfigError: A share is negative or not finite, or all are 0.
        NoEstimateError: There is no prompt at all, or none of a stratum that has a share.
    """
    if not len(strata):
        raise NoEstimateError("there is no prompt to weight")
    if shares is None:
        return np.full(len(strata), 1.0 / len(strata))
    total = float(sum(shares.values()))
    if not np.isfinite(total) or min(shares.values(), default=0.0) < 0 or total <= 0:
        raise ConfigError(f"shares of strata must be at least 0 and not all 0, got {dict(shares)}")
    names, place, counts = np.unique(np.asarray(strata), return_inverse=True, return_counts=True)
    if absent := [name for name, share in shares.items() if share > 0 and name not in names]:
        raise NoEstimateError(
            f"no prompt belongs to {absent[0]!r}, which has a share of {shares[absent[0]] / total:.3g}; there are "
            f"{', '.join(map(str, names))}"
        )
    wanted = np.array([shares.get(str(name), 0.0) / total for name in names])
    return np.asarray((wanted / counts)[place], dtype=np.float64)
