"""What one iteration has sampled and computed, and how it is cut into minibatches: plain tensors, no model."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from nines.errors import ConfigError, DataError

Rows = TypeVar("Rows", bound="Completions | Rollout | Targets")


@dataclasses.dataclass(frozen=True)
class Completions:
    """Sampled completions: each row holds its prompt, padded on the left, and its completion, padded on the right.

    Attributes:
        tokens: Prompt and completion, int64, shape (completions, prompt width + completion width).
        mask: True on the tokens of both, same shape.
        completion_mask: True on the sampled tokens, shape (completions, completion width).
        prompt: Number of each row's prompt in its iteration, int64, shape (completions,).
        finished: Whether the completion reached its end, not the length limit, shape (completions,).
    """

    tokens: Tensor
    mask: Tensor
    completion_mask: Tensor
    prompt: Tensor
    finished: Tensor

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def prompt_width(self) -> int:
        """Columns that hold prompts."""
        return self.tokens.shape[1] - self.completion_mask.shape[1]

    @property
    def lengths(self) -> Tensor:
        """Sampled tokens of each completion, shape (completions,)."""
        return self.completion_mask.sum(dim=1)

    def trimmed(self) -> Completions:
        """The same rows without the columns in which all of them hold padding; at least one completion column stays."""
        prompts = self.mask[:, : self.prompt_width]
        used = int(prompts.sum(dim=1).max()) if len(self) else 0
        width = max(1, int(self.lengths.max())) if len(self) else 1
        columns = slice(self.prompt_width - used, self.prompt_width + width)
        return dataclasses.replace(
            self,
            tokens=self.tokens[:, columns],
            mask=self.mask[:, columns],
            completion_mask=self.completion_mask[:, :width],
        )

    def widened(self, *, prompt_width: int, completion_width: int, padding: int = 0) -> Completions:
        """The same rows with more padding: `padding` as token, on the left of prompts, on the right of completions."""
        left = prompt_width - self.prompt_width
        right = completion_width - self.completion_mask.shape[1]
        pad = torch.nn.functional.pad
        return dataclasses.replace(
            self,
            tokens=pad(self.tokens, (left, right), value=padding),
            mask=pad(self.mask, (left, right), value=False),
            completion_mask=pad(self.completion_mask, (0, right), value=False),
        )


@dataclasses.dataclass(frozen=True)
class Rollout:
    """Completions with their scores, and what policy, reference and value head said of them when they were sampled.

    Attributes:
        completions: The sampled completions.
        scores: Total reward of each, as it was scored, without KL penalty, shape (completions,).
        parts: The reward's parts by name, each of shape (completions,).
        log_probs: Of the sampled tokens under the policy that sampled them, shape (completions, completion width).
        reference_log_probs: Under the frozen reference, same shape.
        values: What the value head predicted before each token, same shape.
    """

    completions: Completions
    scores: Tensor
    parts: Mapping[str, Tensor]
    log_probs: Tensor
    reference_log_probs: Tensor
    values: Tensor

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def mask(self) -> Tensor:
        """Where tokens were sampled, shape (completions, completion width)."""
        return self.completions.completion_mask

    def trimmed(self) -> Rollout:
        """The same rows without the columns in which all of them hold padding."""
        completions = self.completions.trimmed()
        width = completions.completion_mask.shape[1]
        return dataclasses.replace(
            self,
            completions=completions,
            log_probs=self.log_probs[:, :width],
            reference_log_probs=self.reference_log_probs[:, :width],
            values=self.values[:, :width],
        )


@dataclasses.dataclass(frozen=True)
class Targets:
    """What an update aims at, for each sampled token.

    Attributes:
        advantages: Shape (completions, completion width), 0 on padding.
        returns: Targets of the value head, same shape.
    """

    advantages: Tensor
    returns: Tensor

    def __len__(self) -> int:
        return len(self.advantages)

    def narrowed(self, width: int) -> Targets:
        """The first `width` columns: those of a trimmed rollout."""
        return Targets(self.advantages[:, :width], self.returns[:, :width])


def take(rows: Rows, index: Tensor) -> Rows:
    """The rows at `index`, shape (rows,), of everything that the dataclass holds."""
    picked: dict[str, Any] = {field.name: _take(getattr(rows, field.name), index) for field in dataclasses.fields(rows)}
    return dataclasses.replace(rows, **picked)


def to_device(rows: Rows, device: torch.device) -> Rows:
    """Everything that the dataclass holds on `device`."""
    moved: dict[str, Any] = {field.name: _to(getattr(rows, field.name), device) for field in dataclasses.fields(rows)}
    return dataclasses.replace(rows, **moved)


def concatenate(parts: Sequence[Completions], *, padding: int = 0) -> Completions:
    """All rows below each other, padded to the widest.

    Raises:
        DataError: There is no part.
    """
    if not parts:
        raise DataError("there are no completions to put together")
    prompt_width = max(part.prompt_width for part in parts)
    completion_width = max(part.completion_mask.shape[1] for part in parts)
    wide = [
        part.widened(prompt_width=prompt_width, completion_width=completion_width, padding=padding) for part in parts
    ]
    fields = [field.name for field in dataclasses.fields(Completions)]
    return Completions(**{name: torch.cat([getattr(part, name) for part in wide]) for name in fields})


def minibatches(prompts: Tensor, *, size: int, seed: Sequence[int], together: bool = False) -> list[Tensor]:
    """Rows in random order, cut into minibatches: the same for every number of ranks.

    Args:
        prompts: Number of each row's prompt, shape (rows,).
        size: Rows of one minibatch over all ranks; the last ones are made about equally large.
        seed: What the order depends on, such as seed, iteration and epoch.
        together: Keep the completions of a prompt in one minibatch, whose sizes then differ by whole prompts.

    Returns:
        Indices of rows, int64, each row exactly once.

    Raises:
        ConfigError: `size` is below 1.
    """
    if size < 1:
        raise ConfigError(f"minibatch_size must be at least 1, got {size}")
    random = np.random.default_rng(list(seed))
    number = prompts.cpu().numpy()
    count = max(1, round(len(number) / size))
    if not together:
        return [torch.from_numpy(part) for part in np.array_split(random.permutation(len(number)), count)]
    shuffled = random.permutation(np.unique(number))
    parts = np.array_split(shuffled, min(count, len(shuffled)))
    return [torch.from_numpy(np.concatenate([np.flatnonzero(number == prompt) for prompt in part])) for part in parts]


def share_of_rank(
    rows: Tensor, lengths: Tensor, *, rank: int, ranks: int, size: int, prompts: Tensor | None = None
) -> list[Tensor]:
    """What one rank computes of a minibatch, cut into forward passes of rows of similar length.

    Args:
        rows: The rows of the minibatch, shape (rows,).
        lengths: Tokens of every row of the rollout, by which work is shared out evenly.
        rank: Which one, from 0.
        ranks: How many.
        size: Rows of one forward pass, a few more where the ranks cannot share the minibatch evenly.
        prompts: Number of each row's prompt, shape (rows of the rollout,): keeps the rows of a prompt in one pass.
            None shares out row by row.

    Returns:
        Indices of rows for each pass. All ranks have the same number of passes.

    Raises:
        ConfigError: A rank would have none.
    """
    units = [rows[place : place + 1] for place in range(len(rows))]
    if prompts is not None:
        units = [rows[prompts[rows] == prompt] for prompt in torch.unique(prompts[rows])]
    if len(units) < ranks:
        what = "completions" if prompts is None else "prompts with all their completions"
        raise ConfigError(f"a minibatch of {len(units)} {what} is too small for {ranks} ranks; raise minibatch_size")
    total = torch.stack([lengths[unit].sum() for unit in units])
    own = [units[place] for place in torch.argsort(total, descending=True, stable=True).tolist()][rank::ranks]
    passes = min(math.ceil(math.ceil(len(rows) / ranks) / size), len(units) // ranks)
    cuts = np.array_split(np.arange(len(own)), passes)
    return [torch.cat([own[place] for place in cut]) for cut in cuts]


def _take(value: object, index: Tensor) -> object:
    if isinstance(value, Tensor):
        return value[index.to(value.device)]
    if isinstance(value, Mapping):
        return {name: _take(part, index) for name, part in value.items()}
    return take(value, index) if isinstance(value, Completions | Rollout | Targets) else value


def _to(value: object, device: torch.device) -> object:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        return {name: _to(part, device) for name, part in value.items()}
    return to_device(value, device) if isinstance(value, Completions | Rollout | Targets) else value
