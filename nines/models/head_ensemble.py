"""Heads on features of a frozen encoder, several trained at once: cheap enough for hundreds of trainings."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nines.errors import ConfigError, DataError

Loss = Callable[[Tensor, Tensor, float], Tensor]
"""From the heads' outputs for some rows, (heads, rows, outputs), the rows' places and the share of the steps that is
done, to the loss of each row, (heads, rows)."""


@dataclass(frozen=True)
class HeadOptions:
    """How a head is trained.

    Attributes:
        width: Of its hidden layer.
        learning_rate: Of AdamW, falling to 0 as half a cosine.
        weight_decay: Of AdamW.
        dropout: Of the hidden layer, in [0, 1).
        steps: Optimizer steps.
        batch_size: Rows in a step.
    """

    width: int = 32
    learning_rate: float = 3e-3
    weight_decay: float = 0.03
    dropout: float = 0.3
    steps: int = 300
    batch_size: int = 256

    def __post_init__(self) -> None:
        if min(self.width, self.steps, self.batch_size) < 1 or not 0 <= self.dropout < 1 or self.learning_rate <= 0:
            raise ConfigError(f"a head cannot be trained with {self}")


class Heads(nn.Module):
    """Heads with one hidden layer each, side by side: every one reads the same features.

    Args:
        options: Of each head; widths, steps and batch sizes must be equal.
        features: Width of the features.
        outputs: Numbers that each head says of a row.
        seed: Of the weights.

    Raises:
        ConfigError: No head, or options that must be equal and are not.
    """

    def __init__(self, options: Sequence[HeadOptions], *, features: int, outputs: int = 1, seed: int = 0) -> None:
        super().__init__()
        if len({(one.width, one.steps, one.batch_size) for one in options}) != 1:
            raise ConfigError("heads that train together need one width, one number of steps and one batch size")
        self.options = tuple(options)
        width = options[0].width
        # A head starts alike whatever stands beside it.
        random = [_generator(seed, place) for place in range(len(options))]
        # Parameters of their own, so that each head can have its own learning rate and weight decay.
        self.hidden = nn.ParameterList(_uniform((features, width), generator) for generator in random)
        self.hidden_bias = nn.ParameterList(nn.Parameter(torch.zeros(width)) for _ in options)
        self.output = nn.ParameterList(_uniform((width, outputs), generator) for generator in random)
        self.output_bias = nn.ParameterList(nn.Parameter(torch.zeros(outputs)) for _ in options)

    def forward(self, features: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Outputs for features (rows, width): (heads, rows, outputs); with dropout where a generator is given."""
        hidden = torch.stack(list(self.hidden_bias))[:, None] + features @ torch.stack(list(self.hidden))
        hidden = torch.nn.functional.gelu(hidden)
        if generator is not None:
            keep = 1 - torch.tensor([one.dropout for one in self.options])[:, None, None]
            hidden = hidden * (torch.rand(hidden.shape, generator=generator) < keep) / keep
        return torch.stack(list(self.output_bias))[:, None] + hidden @ torch.stack(list(self.output))

    def train_on(self, features: Tensor, loss: Loss, *, weights: Tensor | None = None, seed: int = 0) -> None:
        """Minimise the weighted mean of the loss of each row, each head for itself.

        Args:
            features: (rows, width).
            loss: See `Loss`.
            weights: Of each row for each head, (heads, rows); None counts every row once.
            seed: Of the batches and of dropout.

        Raises:
            DataError: There is no row.
        """
        if len(features) == 0:
            raise DataError("heads cannot be trained without rows")
        first, count = self.options[0], len(self.options)
        optimizer = torch.optim.AdamW(
            {
                "params": [values[place] for values in (self.hidden, self.hidden_bias, self.output, self.output_bias)],
                "lr": one.learning_rate,
                "weight_decay": one.weight_decay,
            }
            for place, one in enumerate(self.options)
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * step / first.steps))
        )
        masses = torch.ones(count, len(features)) if weights is None else weights
        masses = masses / masses.mean(dim=1, keepdim=True)
        generator, order = torch.Generator().manual_seed(seed), torch.empty(0, dtype=torch.long)
        for step in range(first.steps):
            if len(order) < min(first.batch_size, len(features)):
                order = torch.randperm(len(features), generator=generator)
            rows, order = order[: first.batch_size], order[first.batch_size :]
            losses = loss(self(features[rows], generator=generator), rows, step / first.steps)
            optimizer.zero_grad()
            (losses * masses[:, rows]).mean(dim=1).sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()


class HeadEnsemble:
    """Classifiers that differ by the seed of their weights, by hyperparameters, and by the prompts they learn from.

    Args:
        options: Of each member.
        seed: Of everything random.
        bootstrap: Give each member a bootstrap sample of the prompts (Breiman 1996); else all rows alike.
    """

    def __init__(self, options: Sequence[HeadOptions], *, seed: int = 0, bootstrap: bool = True) -> None:
        self.options = tuple(options)
        self.seed = seed
        self.bootstrap = bootstrap
        self._heads: Heads | None = None

    def fit(
        self, features: NDArray[np.float32], targets: NDArray[np.float64], *, prompts: NDArray[np.int64]
    ) -> HeadEnsemble:
        """Train by binary cross-entropy.

        Args:
            features: (rows, width), about standardised.
            targets: P(injurious) to learn, (rows,).
            prompts: Number of each row's prompt, (rows,).

        Raises:
            DataError: There is no row.
        """
        if len(features) == 0:
            raise DataError("heads cannot be trained without rows")
        aims = torch.from_numpy(np.asarray(targets, dtype=np.float32))
        self._heads = Heads(self.options, features=features.shape[1], seed=self.seed)
        self._heads.train_on(
            torch.from_numpy(features),
            lambda outputs, rows, _: cross_entropy(outputs, aims[rows]),
            weights=self._weights(prompts) if self.bootstrap else None,
            seed=self.seed,
        )
        return self

    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """P(injurious) by each member, (members, rows).

        Raises:
            DataError: `fit` was not called.
        """
        if self._heads is None:
            raise DataError("fit the ensemble before asking it for probabilities")
        with torch.no_grad():
            outputs = self._heads(torch.from_numpy(features))
        return torch.sigmoid(outputs.double()).squeeze(-1).numpy()

    def _weights(self, prompts: NDArray[np.int64]) -> Tensor:
        """How often each row is in each member's sample; whole prompts are drawn, as their rows resemble each other."""
        _, group = np.unique(prompts, return_inverse=True)
        count = int(group.max()) + 1
        rng = np.random.default_rng(self.seed)
        drawn = rng.multinomial(count, np.full(count, 1 / count), size=len(self.options))
        return torch.from_numpy(drawn[:, group].astype(np.float32))


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy of logits (heads, rows, 1) with the same targets (rows,) for each head: (heads, rows)."""
    logits = outputs.squeeze(-1)
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, targets.expand_as(logits), reduction="none")


def varied(count: int, *, seed: int, base: HeadOptions | None = None) -> list[HeadOptions]:
    """Options around `base`: learning rate and weight decay log-uniform within a factor of 3, dropout 0.1 to 0.5."""
    base, rng = base or HeadOptions(), np.random.default_rng(seed)
    return [
        HeadOptions(
            width=base.width,
            learning_rate=base.learning_rate * float(3 ** rng.uniform(-1, 1)),
            weight_decay=base.weight_decay * float(3 ** rng.uniform(-1, 1)),
            dropout=float(rng.uniform(0.1, 0.5)),
            steps=base.steps,
            batch_size=base.batch_size,
        )
        for _ in range(count)
    ]


def _generator(*seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))


def _uniform(shape: tuple[int, int], generator: torch.Generator) -> nn.Parameter:
    """As torch initialises linear layers."""
    bound = 1 / math.sqrt(shape[0])
    return nn.Parameter((torch.rand(shape, generator=generator) * 2 - 1) * bound)
