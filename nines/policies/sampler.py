"""Draws completions of many prompts at once: each prompt read once, rows freed at their end and refilled.

Which attempts to draw is up to a plan (`nines.policies.plans`). In float32 an attempt's text is a function of the
seed, the prompt's number and the attempt's, whatever shares the batch with it (up to rounding: logits move in their
last digits with the batch, and a draw that falls between two such values differs; in bfloat16 that is common).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import torch
from torch import Tensor

from nines.errors import ConfigError
from nines.policies.attempts import Attempt
from nines.policies.causal_model import CausalModel, EncodedPrompt
from nines.policies.completion_in_progress import CompletionInProgress, TextRules
from nines.policies.options import SamplingOptions
from nines.policies.plans import FixedCount
from nines.policies.random_numbers import uniforms
from nines.policies.row_cache import RowCache
from nines.policies.token_choice import choose_tokens

_PROMPTS_AT_ONCE = 8


class Plan(Protocol):
    """Decides which attempts are drawn. Prompts are named by their place in the list, attempts by their number."""

    def start(self, free: int) -> list[tuple[int, int]]:
        """The next attempts to begin, `free` at most; each is asked for once. None left and none drawn: the end."""
        ...

    def finish(self, finished: Sequence[tuple[int, Attempt]]) -> None:
        """Take attempts that have come to their end."""
        ...

    def done(self, prompt: int) -> bool:
        """Whether a prompt needs nothing more; its rows are given to others then."""
        ...


@dataclass
class Work:
    """What a sampler has done since it was made: the price of its completions.

    Attributes:
        prompt_tokens: Tokens of prompts read.
        drawn_tokens: Tokens drawn, dropped ones included.
        steps: Passes over the rows.
        rows: Rows in these passes, summed.
    """

    prompt_tokens: int = 0
    drawn_tokens: int = 0
    steps: int = 0
    rows: int = 0


class Sampler:
    """Continuous batching of one language model.

    Args:
        model: The model with its tokenizer.
        options: How tokens are drawn and where completions end.
        rows: Completions in progress at once. More make better use of the machine until memory ends.
        refill: The share of rows in progress, in (0, 1], that are waited for until attempts are handed over and others
            begin: fewer keep rows busier, more make larger batches for prompts and for the scorer.

    Attributes:
        work: Counts of tokens and steps.
    """

    def __init__(
        self, model: CausalModel, options: SamplingOptions | None = None, *, rows: int = 64, refill: float = 0.25
    ) -> None:
        if rows < 1:
            raise ConfigError(f"sampler.rows must be at least 1, got {rows}")
        if not 0 < refill <= 1:
            raise ConfigError(f"sampler.refill is a share of the rows, in (0, 1], got {refill}")
        self.model, self.options, self.rows, self.refill = model, options or SamplingOptions(), rows, refill
        self.work = Work()
        self._cache: RowCache | None = None
        self._rules = TextRules(model.tokenizer, self.options, end_tokens=model.end_tokens)

    def sample(
        self, prompts: Sequence[str], *, completions: int = 1, seed: int, numbers: Sequence[int] | None = None
    ) -> list[list[Attempt]]:
        """`completions` attempts of every prompt, in the order of the prompts and of the attempts' numbers."""
        plan = FixedCount(len(prompts), count=completions)
        self.run(prompts, plan, seed=seed, numbers=numbers)
        return plan.attempts

    def run(self, prompts: Sequence[str], plan: Plan, *, seed: int, numbers: Sequence[int] | None = None) -> None:
        """Draw what the plan asks for until it asks for nothing more.

        Args:
            prompts: The texts.
            plan: Which attempts to draw.
            seed: Of all random numbers.
            numbers: What the random numbers of each prompt go by; its place in the list by default.

        Raises:
            DataError: A prompt is empty.
            CapabilityError: A prompt is too long for the model, or the model is of a kind that cannot be sampled so.
            ConfigError: There are not as many numbers as prompts.
        """
        if numbers is not None and len(numbers) != len(prompts):
            raise ConfigError(f"{len(prompts)} prompts need as many numbers, got {len(numbers)}")
        if not prompts:
            return
        limit = self.options.max_new_tokens
        tokens = [self.model.tokens_of(prompt, max_new_tokens=limit) for prompt in prompts]
        keys = list(range(len(prompts))) if numbers is None else list(numbers)
        call = _Call(self, tokens, keys, seed=seed)
        with _evaluation_mode(self.model.model), torch.inference_mode():
            while True:
                call.refill(plan)
                if not call.active:
                    return
                enough = max(1, round(self.refill * len(call.active)))
                while len(call.over) < enough and call.active:
                    call.step()

    def cache_for(self, capacity: int, *, like: Tensor) -> RowCache:
        """Room for rows of so many tokens; that of the last call if it suffices, since making it takes a while."""
        if self._cache is None or self._cache.capacity < capacity or not self._cache.suits(like):
            self._cache = RowCache(rows=self.rows, capacity=capacity, like=like)
        self._cache.active = 0
        return self._cache


class _Call:
    """One run of a sampler: prompts that have been read, rows in progress, and attempts that are over."""

    def __init__(self, sampler: Sampler, tokens: list[list[int]], numbers: list[int], *, seed: int) -> None:
        self._sampler, self._tokens, self._numbers, self._seed = sampler, tokens, numbers, seed
        self._options, self._model = sampler.options, sampler.model
        self._read: dict[int, EncodedPrompt] = {}
        self._cache: RowCache | None = None
        self.active: list[CompletionInProgress] = []
        self.over: list[CompletionInProgress] = []

    def refill(self, plan: Plan) -> None:
        """Hand over what is over, free rows of prompts that are done, and begin new attempts."""
        while True:
            plan.finish([(completion.prompt, completion.attempt) for completion in self.over])
            self.over = []
            self._free([row for row, completion in enumerate(self.active) if plan.done(completion.prompt)])
            for prompt in [prompt for prompt in self._read if plan.done(prompt)]:
                del self._read[prompt]
            requests = plan.start(self._sampler.rows - len(self.active))
            self._begin(requests)
            # An attempt of one token is over at once, and leaves room for another.
            if not self.over or self.active:
                return

    def step(self) -> None:
        """One token for every active row."""
        cache = self._cache
        assert cache is not None
        latest = torch.tensor([completion.tokens[-1] for completion in self.active], device=cache.lengths.device)
        logits = self._model.step(latest, cache)
        self._sampler.work.steps += 1
        self._sampler.work.rows += len(self.active)
        ended = self._draw(logits, self.active)
        self.over += [self.active[row] for row in ended]
        self._free(ended)

    def _begin(self, requests: Sequence[tuple[int, int]]) -> None:
        self._read_prompts(sorted({prompt for prompt, _ in requests} - self._read.keys()))
        if not requests:
            return
        begun = [
            CompletionInProgress(
                prompt=prompt,
                index=index,
                uniforms=uniforms(
                    self._seed, prompt=self._numbers[prompt], attempt=index, count=self._options.max_new_tokens
                ),
                rules=self._sampler._rules,
            )
            for prompt, index in sorted(requests)
        ]
        logits = torch.stack([self._read[completion.prompt].logits for completion in begun])
        ended = set(self._draw(logits, begun))
        self.over += [begun[row] for row in sorted(ended)]
        going_on = [completion for row, completion in enumerate(begun) if row not in ended]
        for prompt, completions in groupby(going_on, key=lambda completion: completion.prompt):
            rows = list(completions)
            self._room().add(self._read[prompt].keys, self._read[prompt].values, count=len(rows))
            self.active += rows

    def _draw(self, logits: Tensor, completions: Sequence[CompletionInProgress]) -> list[int]:
        """Give each completion its next token; the places of those that are over now."""
        numbers = torch.tensor([completion.next_uniform for completion in completions], dtype=torch.float64)
        history = self._history(completions).to(logits.device) if self._options.penalises_repetition else None
        tokens, log_probs = choose_tokens(logits, numbers.to(logits.device), self._options, history=history)
        self._sampler.work.drawn_tokens += len(completions)
        drawn = zip(completions, tokens.tolist(), log_probs.tolist(), strict=True)
        return [row for row, (completion, *token) in enumerate(drawn) if completion.append(*token)]

    def _history(self, completions: Sequence[CompletionInProgress]) -> Tensor:
        seen = [self._tokens[completion.prompt] + completion.tokens for completion in completions]
        width = max(map(len, seen))
        return torch.tensor([tokens + [-1] * (width - len(tokens)) for tokens in seen])

    def _read_prompts(self, prompts: list[int]) -> None:
        # Prompts of like length together: padding costs as much as text.
        prompts = sorted(prompts, key=lambda prompt: len(self._tokens[prompt]))
        for start in range(0, len(prompts), _PROMPTS_AT_ONCE):
            chunk = prompts[start : start + _PROMPTS_AT_ONCE]
            encoded = self._model.read([self._tokens[prompt] for prompt in chunk])
            self._read |= dict(zip(chunk, encoded, strict=True))
            self._sampler.work.prompt_tokens += sum(len(self._tokens[prompt]) for prompt in chunk)

    def _room(self) -> RowCache:
        if self._cache is None:
            capacity = max(map(len, self._tokens)) + self._options.max_new_tokens
            self._cache = self._sampler.cache_for(capacity, like=next(iter(self._read.values())).keys)
        return self._cache

    def _free(self, rows: Sequence[int]) -> None:
        """Free rows of the cache; the last active ones take their places, here as there."""
        for row in sorted(rows, reverse=True):
            self._room().remove(row)
            last = self.active.pop()
            if row < len(self.active):
                self.active[row] = last


@contextmanager
def _evaluation_mode(model: torch.nn.Module) -> Iterator[None]:
    """Dropout off while sampling, and everything as it was behind it."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
