"""Remembers what the frozen layers say of the completions of one iteration: it is the same in every pass and epoch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from nines.rl.prompt_rows import prompt_rows
from nines.rl.rollout import Completions


class FrozenStates:
    """What frozen layers made of rows of a rollout, kept by the completions that a row holds.

    Policy and reference share it in every iteration, and so does each epoch, where siblings are kept together.

    Args:
        compute: From completions to states (prompts, width, hidden), or None where there are none to be kept.
    """

    def __init__(self, compute: Callable[[Completions], Tensor | None]) -> None:
        self._compute = compute
        self._kept: dict[tuple[int, ...], Tensor] = {}

    def of(self, completions: Completions, rows: Tensor) -> Tensor | None:
        """The states of `completions`, computed where one of their rows was never seen.

        Args:
            completions: A forward pass.
            rows: Where they are in the rollout, shape (completions,).
        """
        places = rows.tolist()
        groups = [(tuple(places[one] for one in own), size) for own, size in prompt_rows(completions).groups]
        if all(name in self._kept for name, _ in groups):
            return torch.nn.utils.rnn.pad_sequence([self._kept[name] for name, _ in groups], batch_first=True)
        states = self._compute(completions)
        if states is not None:
            for (name, size), row in zip(groups, states, strict=True):
                self._kept[name] = row[:size].clone()
        return states
