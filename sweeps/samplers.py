"""Samplers by name: `tpe`, `random`, `grid`, `qmc`, `gp` and `nsga2`, with Optuna's own options.

The grid is ours: `Space.grid` lists exactly the combinations that exist under the conditions, each once, while
Optuna's grid would repeat those that differ only in parameters that do not exist.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Mapping
from typing import Any

import optuna

from nines.errors import SweepError, nearest
from sweeps.pruners import check_options
from sweeps.space import Space, Values

SAMPLERS: dict[str, type[optuna.samplers.BaseSampler]] = {
    "tpe": optuna.samplers.TPESampler,
    "random": optuna.samplers.RandomSampler,
    "qmc": optuna.samplers.QMCSampler,
    "gp": optuna.samplers.GPSampler,
    "nsga2": optuna.samplers.NSGAIISampler,
}
GRID_POINTS = 3


def check_sampler(spec: Mapping[str, Any], *, space: Space) -> None:
    """Refuse an unknown sampler or option, and a sampler that cannot serve this space.

    Args:
        spec: `name` and `options`.
        space: The space to sample from.

    Raises:
        SweepError: With what would be valid.
    """
    name, options = spec["name"], spec["options"]
    if name == "grid":
        points = options.get("points", GRID_POINTS)
        if set(options) - {"points", "seed"} or not isinstance(points, int) or points < 1:
            raise SweepError("sampler: grid takes one option, `points` (at least 1): values for each interval")
        return
    if name not in SAMPLERS:
        raise SweepError(f"sampler: unknown sampler {name!r}; {nearest(name, [*SAMPLERS, 'grid'])}")
    check_options(SAMPLERS[name], options, where="sampler")
    if name == "qmc" and any(parameter.when for parameter in space.parameters):
        raise SweepError(
            "sampler: qmc needs every parameter in every trial, and this space has conditions; use tpe or random"
        )
    if name == "gp":
        return  # its constructor imports torch, which the command line and `status` do without
    try:
        build_sampler(spec, group=0)
    except (TypeError, ValueError) as error:
        raise SweepError(f"sampler: {name} refuses its options {options}: {error}") from error


def build_sampler(spec: Mapping[str, Any], *, group: int) -> optuna.samplers.BaseSampler:
    """The sampler of a checked `spec`, for one set of parameters.

    Each set is drawn by a sampler of its own whose random numbers depend on the sweep's seed and the set's number
    only: two workers never draw the same numbers, and a sweep's first sets are the same in every run of it.

    Args:
        spec: `name` and `options`; the option `seed` (default 0) is the sweep's.
        group: Number of the set.
    """
    name, options = spec["name"], dict(spec["options"])
    if name == "grid":
        return optuna.samplers.RandomSampler(seed=0)
    seed = int(options.pop("seed", 0))
    # A Sobol or Halton sequence is one sequence: its scrambling has to stay the same for the whole sweep.
    own_seed = seed if name == "qmc" else (seed * 1_000_003 + group) % 2**32
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if name in ("qmc", "gp"):
            options.setdefault("warn_independent_sampling", False)
        return SAMPLERS[name](seed=own_seed, **options)  # type: ignore[call-arg]


def fixed_sets(spec: Mapping[str, Any], space: Space) -> list[Values] | None:
    """All sets of parameters for a sampler that knows them beforehand (the grid), None for the others.

    Their order is shuffled, by the option `seed`, so that a sweep that is stopped early has tried a bit of everything.
    """
    if spec["name"] != "grid":
        return None
    sets = space.grid(points=int(spec["options"].get("points", GRID_POINTS)))
    random.Random(int(spec["options"].get("seed", 0))).shuffle(sets)
    return sets
