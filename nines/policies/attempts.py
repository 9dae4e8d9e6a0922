"""What policies give back: every attempt at a completion, the chosen one, and how many tries it took."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Scorer = Callable[[Sequence[str], Sequence[str]], NDArray[np.float64]]
"""From prompts and their completions, as text, to a number each: P(injurious), or quality."""


@dataclass(frozen=True)
class Attempt:
    """One completion of a prompt.

    Attributes:
        text: The completion, white space around it removed and line breaks in it made spaces.
        tokens: The token ids that make up the text, and the end token where the model ended it. The token by which a
            sampler sees that a sentence is over is not among them.
        token_log_probs: Of each token under the distribution it was drawn from: temperature and filters included.
        log_prob: Their sum.
        finished: It reached its end; False where the limit of tokens cut it.
        index: The number of the attempt of its prompt, from 0.
        score: What the scorer made of it; None where nobody scored it.
        accepted: Whether a filter accepted it; None where there is no filter.
        drawn_tokens: Tokens that were drawn for it, those behind the end of its sentence included.
    """

    text: str
    tokens: tuple[int, ...]
    token_log_probs: tuple[float, ...]
    log_prob: float
    finished: bool
    index: int
    score: float | None = None
    accepted: bool | None = None
    drawn_tokens: int = 0


@dataclass(frozen=True)
class Generation:
    """What a policy made of one prompt.

    Attributes:
        prompt: The text.
        chosen: The completion to deliver; None where the policy refused to deliver any.
        attempts: Every attempt that the decision rests on, in order; it does not depend on how they were batched.
        tries: How many these are.
        gave_up: No attempt was accepted within the budget.
        fallback: What was done then: "refuse" or "safest"; None if it did not give up.
        threshold: The threshold that decided on the chosen attempt, or on the last; None without a filter.
        conservatism: The factor by which each rejection lowered the threshold; None for a fixed threshold. Estimators
            that take acceptance as one rule must refuse generations made with a factor: see `fixed_threshold`.
    """

    prompt: str
    chosen: Attempt | None
    attempts: tuple[Attempt, ...]
    tries: int
    gave_up: bool = False
    fallback: str | None = None
    threshold: float | None = None
    conservatism: float | None = None

    @property
    def fixed_threshold(self) -> bool:
        """Whether every attempt was judged by one rule, whatever came before it."""
        return self.conservatism is None


Report = Callable[[int, Generation], None]
"""Called with a prompt's place in the list and its generation, as soon as that is decided; in no fixed order."""


class Policy(Protocol):
    """Anything that turns prompts into completions."""

    def generate(
        self,
        prompts: Sequence[str],
        *,
        seed: int,
        numbers: Sequence[int] | None = None,
        report: Report | None = None,
    ) -> list[Generation]:
        """One generation a prompt, in the order of the prompts.

        Args:
            prompts: The texts.
            seed: Of all random numbers.
            numbers: What the random numbers of each prompt go by; its place in the list by default. With it a part of
                a list gets the texts that the whole list would have got.
            report: Called for each prompt as soon as it is decided.
        """
        ...
