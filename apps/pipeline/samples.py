"""Which test prompts the report shows with the completions of all policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Line = Mapping[str, Any]


def worst_first(verdicts: Sequence[Line], count: int, *, policy: str = "distilled") -> list[Line]:
    """The prompts on which the judge likes the policy's completion least, the worst first."""
    judged = [line for line in verdicts if policy in line["policies"]]
    return sorted(judged, key=lambda line: -line["policies"][policy]["judge"])[:count]


def at_random(verdicts: Sequence[Line], count: int, *, seed: int) -> list[Line]:
    """Prompts drawn without looking at any verdict, in their order."""
    drawn = np.random.default_rng([seed, 17]).permutation(len(verdicts))[:count]
    return [verdicts[place] for place in sorted(drawn)]
