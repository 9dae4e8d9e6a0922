"""Random numbers by counter: a completion's are a function of the seed, its prompt and its attempt, of nothing else.

So neither the batch in which a completion is drawn nor what was drawn before it changes its text.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nines.errors import ConfigError


def uniforms(seed: int, *, prompt: int, attempt: int, count: int) -> NDArray[np.float64]:
    """The uniform numbers in [0, 1) of a completion's positions 0 to `count` - 1, from Philox (Salmon et al. 2011).

    A position's number does not depend on `count`.

    Args:
        seed: Of the whole sampling, at least 0.
        prompt: Which prompt, by its place in the list or a number of its own, at least 0.
        attempt: Which completion of that prompt, at least 0.
        count: How many numbers.

    Raises:
        ConfigError: A negative number among the first three.
    """
    if min(seed, prompt, attempt) < 0:
        raise ConfigError(f"seed, prompt and attempt must be at least 0, got {seed}, {prompt} and {attempt}")
    key = np.array([seed, prompt], dtype=np.uint64)
    # The attempt is in the second word of the counter: each attempt has 2^64 blocks of its own.
    counter = np.array([0, attempt, 0, 0], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter)).random(count)
