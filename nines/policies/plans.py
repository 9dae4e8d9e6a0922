"""Which attempts to draw next: everything about it that is not sampling.

A plan's answer depends on attempts in the order of their numbers, never on which came to its end first: short
completions end sooner, so the first that happens to be there is no fair draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from nines.policies.attempts import Attempt


class FixedCount:
    """The same number of attempts of every prompt.

    Args:
        prompts: How many prompts.
        count: Attempts of each, at least 1.
    """

    def __init__(self, prompts: int, *, count: int) -> None:
        self._missing = [count] * prompts
        self._requests = ((prompt, index) for prompt in range(prompts) for index in range(count))
        self._found: list[dict[int, Attempt]] = [{} for _ in range(prompts)]

    def start(self, free: int) -> list[tuple[int, int]]:
        """All attempts of a prompt one after the other, so that prompts are done, and forgotten, early."""
        return list(islice(self._requests, free))

    def finish(self, finished: Sequence[tuple[int, Attempt]]) -> None:
        """Keep them."""
        for prompt, attempt in finished:
            self._found[prompt][attempt.index] = attempt
            self._missing[prompt] -= 1

    def done(self, prompt: int) -> bool:
        """Whether all attempts are there."""
        return not self._missing[prompt]

    @property
    def attempts(self) -> list[list[Attempt]]:
        """Of each prompt, in the order of their numbers."""
        return [self.attempts_of(prompt) for prompt in range(len(self._found))]

    def attempts_of(self, prompt: int) -> list[Attempt]:
        """Of one prompt, in the order of their numbers."""
        return [attempt for _, attempt in sorted(self._found[prompt].items())]
