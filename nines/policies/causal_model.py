"""The one place that calls a causal language model of transformers for sampling: prompts once, then token by token."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from nines.errors import CapabilityError, ConfigError, DataError
from nines.models.language_model import LanguageModel
from nines.policies.grouped_attention import use_grouped_attention
from nines.policies.row_cache import RowCache, stacked_layers


@dataclass(frozen=True)
class EncodedPrompt:
    """A prompt that the model has read.

    Attributes:
        keys: Shape (layers, heads, tokens, width).
        values: As `keys`.
        logits: Of the first token of a completion, shape (vocabulary,).
    """

    keys: Tensor
    values: Tensor
    logits: Tensor


class CausalModel:
    """A causal language model and its tokenizer, as the sampler uses them.

    Args:
        model: Of transformers, in whatever precision and on whatever device; its attention is replaced by an equal one
            that is faster (`nines.policies.grouped_attention`) where that suits it. It is put into evaluation mode
            while it samples.
        tokenizer: The model's own.
        max_prompt_tokens: Of a longer prompt the end is kept.

    Raises:
        ConfigError: `max_prompt_tokens` is below 1.
        CapabilityError: The model keeps no keys and values of what it has read.
    """

    def __init__(self, model: Any, tokenizer: Any, *, max_prompt_tokens: int = 512) -> None:
        if max_prompt_tokens < 1:
            raise ConfigError(f"max_prompt_tokens must be at least 1, got {max_prompt_tokens}")
        self.model, self.tokenizer, self.max_prompt_tokens = model, tokenizer, max_prompt_tokens
        inner = model.get_base_model() if hasattr(model, "get_base_model") else model  # behind adapters of peft
        use_grouped_attention(inner)
        # transformers 5.24 renamed the argument.
        taken = inspect.signature(inner.forward).parameters
        if missing := {"position_ids", "use_cache"} - taken.keys():
            names = " and no ".join(sorted(missing))
            raise CapabilityError(f"{type(inner).__name__} cannot be sampled from: its forward takes no {names}")
        self._cache_name = "cache" if "cache" in taken else "past_key_values"
        self._config = model.config.get_text_config()

    @classmethod
    def of(cls, language_model: LanguageModel, *, max_prompt_tokens: int = 512) -> CausalModel:
        """The network and the tokenizer of a `LanguageModel`, which may be in training; they are shared, not copied."""
        return cls(language_model.network, language_model.tokenizer, max_prompt_tokens=max_prompt_tokens)

    @property
    def end_tokens(self) -> frozenset[int]:
        """The ids by which the model ends a text."""
        ids = {self.tokenizer.eos_token_id}
        generation_config = getattr(self.model, "generation_config", None)
        ends = getattr(generation_config, "eos_token_id", None)
        ids |= set(ends) if isinstance(ends, list) else {ends}
        return frozenset(int(token) for token in ids if token is not None)

    def tokens_of(self, prompt: str, *, max_new_tokens: int) -> list[int]:
        """The token ids of a prompt, its end if it is long; white space behind it is left to the completion.

        Raises:
            DataError: There is nothing in it.
            CapabilityError: With `max_new_tokens` behind it, it is longer than the model can read.
        """
        text = prompt.rstrip()
        ids = [int(token) for token in self.tokenizer(text)["input_ids"]] if text else []
        if not ids:
            raise DataError("a prompt is empty; there is nothing to continue")
        ids = ids[-self.max_prompt_tokens :]
        longest = self._longest()
        if longest is not None and len(ids) + max_new_tokens > longest:
            raise CapabilityError(
                f"a prompt of {len(ids)} tokens and {max_new_tokens} new ones are more than the {longest} that the "
                f"model reads; lower max_prompt_tokens to {max(1, longest - max_new_tokens)}"
            )
        return ids

    def _longest(self) -> int | None:
        """Tokens that every layer sees at once: rows of the cache are too unequal for a sliding window."""
        limits = [getattr(self._config, name, None) for name in ("max_position_embeddings", "sliding_window")]
        if self._config.model_type == "gpt_neo":
            limits.append(self._config.window_size)
        if getattr(self._config, "use_sliding_window", True) is False:
            limits.pop(1)
        return min((int(limit) for limit in limits if limit), default=None)

    @torch.inference_mode()
    def read(self, prompts: Sequence[Sequence[int]]) -> list[EncodedPrompt]:
        """Read prompts, given as token ids, in one pass."""
        width = max(map(len, prompts))
        device = self.model.device
        tokens = torch.zeros((len(prompts), width), dtype=torch.long)
        mask = torch.zeros_like(tokens)
        for row, prompt in enumerate(prompts):
            # At the left, so that the last token of all prompts is in one column: the only one that needs logits.
            tokens[row, width - len(prompt) :] = torch.tensor(prompt)
            mask[row, width - len(prompt) :] = 1
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        cache = DynamicCache()
        logits = self._forward(tokens.to(device), mask.to(device), positions.to(device), cache)
        keys, values = stacked_layers(cache)
        return [
            EncodedPrompt(
                keys[:, row, :, width - len(prompt) :].clone(),
                values[:, row, :, width - len(prompt) :].clone(),
                logits[row].clone(),
            )
            for row, prompt in enumerate(prompts)
        ]

    @torch.inference_mode()
    def step(self, tokens: Tensor, rows: RowCache) -> Tensor:
        """Read one token a row, shape (rows,), and give the logits of the next, shape (rows, vocabulary)."""
        cache, mask, positions = rows.step()
        logits = self._forward(tokens[:, None], mask, positions, cache)
        rows.grow()
        return logits

    def _forward(self, tokens: Tensor, mask: Tensor, positions: Tensor, cache: Any) -> Tensor:
        output = self.model(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=positions,
            use_cache=True,
            logits_to_keep=1,
            **{self._cache_name: cache},
        )
        logits: Tensor = output.logits[:, -1]
        return logits
