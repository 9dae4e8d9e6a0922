"""Sampling from a policy that is in training, with what an update needs: the tokens, not only their text."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from lightning_modules.shares import is_shared_out
from nines.models.language_model import LanguageModel, load_language_model
from nines.policies.causal_model import CausalModel
from nines.policies.options import SamplingOptions
from nines.policies.sampler import Sampler
from nines.rl.rollout import Completions


@dataclasses.dataclass(frozen=True)
class Sampled:
    """One completion of one prompt, in plain values that ranks can send each other.

    Attributes:
        row: The prompt's place in its split.
        prompt_tokens: Tokens of the prompt.
        tokens: Tokens that were sampled; at least one.
        text: The completion.
        finished: Whether it reached its end; an empty text never does.
        score: Total reward.
        parts: The reward's parts by name.
        accepted: Whether the classifier of the reward accepts it; None without one.
    """

    row: int
    prompt_tokens: tuple[int, ...]
    tokens: tuple[int, ...]
    text: str
    finished: bool
    score: float = 0.0
    parts: dict[str, float] = dataclasses.field(default_factory=dict)
    accepted: bool | None = None


class PolicySampler:
    """Draws completions from a language model as its weights are at each call.

    Args:
        model: The policy, or what holds its weights whole.
        options: Temperature, filters, length, sentence ends.
        max_prompt_tokens: Of a longer prompt the end is kept.
        rows: Completions in progress at once.
    """

    def __init__(
        self, model: LanguageModel, options: SamplingOptions, *, max_prompt_tokens: int, rows: int = 64
    ) -> None:
        self.model = CausalModel(model.network, model.tokenizer, max_prompt_tokens=max_prompt_tokens)
        self.options = options
        self._sampler = Sampler(self.model, options, rows=rows)

    def sample(self, prompts: Sequence[str], rows: Sequence[int], *, count: int, seed: int) -> list[Sampled]:
        """`count` completions of each prompt, siblings together, in the order of the prompts.

        Args:
            prompts: Texts.
            rows: Their places in the split: with the seed they decide the random numbers, so that neither the batch
                nor the rank that a prompt is in changes what is drawn for it.
            count: Completions of each.
            seed: Of this iteration.
        """
        with torch.autocast(self.model.model.device.type, enabled=False):
            attempts = self._sampler.sample(list(prompts), completions=count, seed=seed, numbers=list(rows))
        limit = self.options.max_new_tokens
        read = [tuple(self.model.tokens_of(prompt, max_new_tokens=limit)) for prompt in prompts]
        return [
            Sampled(row, tokens, one.tokens, one.text, one.finished and bool(one.text))
            for row, tokens, siblings in zip(rows, read, attempts, strict=True)
            for one in siblings
        ]


def as_completions(sampled: Sequence[Sampled], *, padding: int, device: torch.device) -> Completions:
    """Tensors of all completions, padded; prompts are numbered by their row.

    Args:
        sampled: At least one.
        padding: Token id under the mask.
        device: Where the tensors lie.
    """
    left = max(len(one.prompt_tokens) for one in sampled)
    right = max(len(one.tokens) for one in sampled)
    tokens = torch.full((len(sampled), left + right), padding, dtype=torch.long)
    mask = torch.zeros(tokens.shape, dtype=torch.bool)
    for row, one in enumerate(sampled):
        columns = slice(left - len(one.prompt_tokens), left + len(one.tokens))
        tokens[row, columns] = torch.tensor(one.prompt_tokens + one.tokens)
        mask[row, columns] = True
    return Completions(
        tokens=tokens.to(device),
        mask=mask.to(device),
        completion_mask=mask[:, left:].to(device),
        prompt=torch.tensor([one.row for one in sampled], device=device),
        finished=torch.tensor([one.finished for one in sampled], device=device),
    )


class SamplingCopy:
    """A copy of a language model on this rank, whole and in one precision, for sampling.

    Where ranks share the parameters out (ZeRO-3), gathering every layer anew for each token would take longer than the
    sampling itself; under mixed precision every pass would cast all weights anew.

    Args:
        model: What is trained.
        dtype: Precision of the copy.
    """

    def __init__(self, model: LanguageModel, *, dtype: torch.dtype) -> None:
        self.trained = model
        with torch.random.fork_rng(devices=[]):
            copy = load_language_model(model.options)
        self.model = copy.to(device=model.device, dtype=dtype).requires_grad_(requires_grad=False)

    def refresh(self) -> LanguageModel:
        """The copy with the weights of now; call it on every rank."""
        own = dict(self.model.named_parameters())
        shared = is_shared_out(self.trained)
        for name, parameter in self.trained.named_parameters():
            with torch.no_grad(), _gathered(parameter) if shared else nullcontext():
                own[name].copy_(parameter)
        return self.model


def _gathered(parameter: nn.Parameter) -> Any:
    import deepspeed

    return deepspeed.zero.GatheredParameters([parameter])


@contextmanager
def without_cached_casts() -> Iterator[None]:
    """Forget before and behind it what autocast has cast.

    Its cache lives as long as the whole training step: it would hand weights cast without gradients, or from before
    an optimizer step, to passes that come later.
    """
    torch.clear_autocast_cache()
    try:
        yield
    finally:
        torch.clear_autocast_cache()
