"""A causal language model with its tokenizer: log-probabilities of completions, what of it is trained, its reference.

Sampling from it is `nines.policies`' part. Losses and rewards take what `completion_log_probs` gives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from nines.errors import CapabilityError, ConfigError, DataError
from nines.models.causal_loading import find_decoder_layers, load_causal, save_causal
from nines.models.lora import add_lora, is_lora, without_lora
from nines.models.token_log_probs import log_probs_of
from nines.models.weights import EMBEDDED_GENERATOR_SOURCE, fingerprint, resolve

Trained = Literal["all", "lora", "upper"]


@dataclass(frozen=True, kw_only=True)
class LanguageModelOptions:
    """What the configuration group `generator` holds.

    Attributes:
        source: Where model and tokenizer come from, see `nines.models.weights`.
        train: All parameters, LoRA adapters beside frozen weights, or the upper layers and the final norm only.
        lora_rank: Rank of the adapters, at least 1.
        lora_alpha: The adapters' output is scaled by `lora_alpha / lora_rank`; a whole number above 0.
        lora_dropout: On what the adapters read, in [0, 1).
        upper_layers: How many layers `train=upper` trains, counted from the output; at least 1.
        dropout: Of every place where the architecture has one, in [0, 1); None keeps the model's own.
        gradient_checkpointing: Keep only the inputs of the layers for the backward pass, and compute the rest again.

    Raises:
        ConfigError: A value out of range.
    """

    source: str = EMBEDDED_GENERATOR_SOURCE
    train: Trained = "all"
    lora_rank: int = 16
    lora_alpha: int = 32
    lora_dropout: float = 0.0
    upper_layers: int = 10
    dropout: float | None = None
    gradient_checkpointing: bool = False

    def __post_init__(self) -> None:
        checks = {
            "train must be all, lora or upper": self.train in {"all", "lora", "upper"},
            "lora_rank must be at least 1": self.lora_rank >= 1,
            "lora_alpha must be above 0": self.lora_alpha > 0,
            "lora_dropout must lie in [0, 1)": 0 <= self.lora_dropout < 1,
            "upper_layers must be at least 1": self.upper_layers >= 1,
            "dropout must lie in [0, 1)": self.dropout is None or 0 <= self.dropout < 1,
        }
        for reason, holds in checks.items():
            if not holds:
                raise ConfigError(f"module.model: {reason} (got {self})")


class LanguageModel(nn.Module):
    """A causal language model of transformers with its tokenizer.

    Args:
        network: As `nines.models.causal_loading.load_causal` gives it, in float32.
        tokenizer: Its tokenizer; it has a padding token.
        options: See `LanguageModelOptions`.

    Attributes:
        hidden_size: Width of the hidden states.
        vocabulary: Number of logits of each token.
        layer_count: Number of layers.
        max_positions: The longest sequence in tokens that the architecture was built for.
    """

    def __init__(self, network: Any, tokenizer: Any, *, options: LanguageModelOptions) -> None:
        super().__init__()
        self.options, self.tokenizer = options, tokenizer
        self._layers_path, layers = find_decoder_layers(network)
        self.layer_count = len(layers)
        self.hidden_size = int(network.config.hidden_size)
        self.vocabulary = int(network.config.vocab_size)
        self.max_positions = int(getattr(network.config, "max_position_embeddings", None) or 1 << 30)
        self.pad, self.end = int(tokenizer.pad_token_id), int(tokenizer.eos_token_id)
        self.network = network
        self._kept: dict[str, Tensor] | None = None
        if options.train == "lora":
            add_lora(
                network,
                self._layers_path,
                rank=options.lora_rank,
                alpha=options.lora_alpha,
                dropout=options.lora_dropout,
            )
        elif options.train == "upper":
            self._freeze_below(options.upper_layers)
        if options.gradient_checkpointing:
            network.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    @property
    def trunk(self) -> nn.Module:
        """All but the output head: tokens to hidden states."""
        trunk: nn.Module = self.network.base_model
        return trunk

    @property
    def head(self) -> nn.Module:
        """Hidden states to logits; its weights may be those of the embeddings."""
        head: nn.Module = self.network.get_output_embeddings()
        return head

    # ---- texts

    def encode_prompts(self, texts: Sequence[str], *, max_tokens: int) -> tuple[Tensor, Tensor]:
        """Tokens of prompts, padded on the left, on the model's device; a long prompt keeps its *end*.

        Args:
            texts: Prompts, none empty.
            max_tokens: The most that is kept of a prompt, at least 1.

        Returns:
            Tokens, int64, and the mask, True on tokens that are there; both (batch, tokens).

        Raises:
            DataError: A prompt without a token.
        """
        rows = [row[-max_tokens:] for row in self.tokenizer(list(texts), add_special_tokens=True)["input_ids"]]
        if empty := [index for index, row in enumerate(rows) if not row]:
            raise DataError(f"prompt {empty[0]} is empty: there is nothing to continue")
        width = max(len(row) for row in rows)
        tokens = torch.tensor([[self.pad] * (width - len(row)) + row for row in rows], device=self.device)
        mask = torch.tensor([[False] * (width - len(row)) + [True] * len(row) for row in rows], device=self.device)
        return tokens, mask

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, without special ones."""
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True))

    # ---- numbers

    def forward(self, tokens: Tensor, mask: Tensor, *, documents: Tensor | None = None) -> Tensor:
        """Logits of the token after each position, (batch, tokens, vocabulary).

        Args:
            tokens: (batch, tokens), int64.
            mask: (batch, tokens), bool; False on padding, on whichever side.
            documents: (batch, tokens), int64, for rows that hold several texts one after the other: the number of the
                text that a token belongs to. Attention and positions stay within it.
        """
        logits: Tensor = self.head(self.hidden_states(tokens, mask, documents=documents))
        return logits

    def hidden_states(self, tokens: Tensor, mask: Tensor, *, documents: Tensor | None = None) -> Tensor:
        """What the head reads, (batch, tokens, hidden); arguments as for `forward`."""
        if documents is None:
            positions = (mask.long().cumsum(dim=1) - 1).clamp(min=0)
            attention = mask.long()
        else:
            positions = positions_within(documents)
            attention = self._attention_within(documents, mask)
        output = self.trunk(input_ids=tokens, attention_mask=attention, position_ids=positions, use_cache=False)
        hidden: Tensor = output.last_hidden_state
        return hidden

    def completion_log_probs(
        self,
        tokens: Tensor,
        mask: Tensor,
        completion_mask: Tensor,
        *,
        temperature: float = 1.0,
        documents: Tensor | None = None,
    ) -> Tensor:
        """Log P(token | what is before it) of the tokens that are there, (batch, tokens), float32; 0 elsewhere.

        Logits are computed for the tokens of `completion_mask` only, a few rows at a time, and again in the backward
        pass: those of all tokens of a batch would need gigabytes with a large vocabulary.

        Args:
            tokens: (batch, tokens), int64.
            mask: (batch, tokens), bool; False on padding.
            completion_mask: (batch, tokens), bool; True on the tokens that are asked for, never on a row's first.
            temperature: What logits are divided by, above 0.
            documents: As for `forward`.

        Raises:
            DataError: A row's first token is asked for; nothing is before it.
        """
        if bool(completion_mask[:, 0].any()):
            raise DataError("the first token of a row has no probability: nothing is before it")
        hidden = self.hidden_states(tokens, mask, documents=documents)
        return self.log_probs_from(hidden, tokens, completion_mask, temperature=temperature)

    def log_probs_from(
        self, hidden: Tensor, tokens: Tensor, completion_mask: Tensor, *, temperature: float = 1.0
    ) -> Tensor:
        """As `completion_log_probs`, for hidden states (batch, tokens, hidden) that are there already."""
        asked = completion_mask[:, 1:]
        chosen = log_probs_of(
            hidden[:, :-1][asked],
            tokens[:, 1:][asked],
            head=self.head,
            vocabulary=self.vocabulary,
            temperature=temperature,
        )
        return torch.zeros(tokens.shape, dtype=torch.float32, device=hidden.device).masked_scatter(
            completion_mask, chosen
        )

    # ---- reference

    def keep_reference(self) -> None:
        """Make the model as it is now the one that `reference` shows, by a copy of what is trained.

        With LoRA there is nothing to keep: without the adapters the model is what they were added to. Otherwise call
        it before any training, and before a checkpoint is loaded.
        """
        if self.options.train != "lora":
            trained = ((name, value) for name, value in self.network.named_parameters() if value.requires_grad)
            self._kept = {name: value.detach().clone() for name, value in trained}

    @contextmanager
    def reference(self) -> Iterator[None]:
        """Within it this model is its frozen reference: LoRA is off, or the kept parameters are in place.

        Compute no gradients within it, and train nothing.

        Raises:
            CapabilityError: Without LoRA, and `keep_reference` was never called.
        """
        if self.options.train == "lora":
            with without_lora(self.network):
                yield
            return
        if self._kept is None:
            raise CapabilityError("this language model keeps no reference; call keep_reference() before it is trained")
        own = dict(self.network.named_parameters())
        trained = {name: own[name].data for name in self._kept}
        for name, kept in self._kept.items():
            self._kept[name] = kept.to(trained[name].device)
            own[name].data = self._kept[name]
        try:
            yield
        finally:
            for name, value in trained.items():
                own[name].data = value

    # ---- what is trained, and where it lies

    def depth_of(self, name: str) -> int:
        """Depth of a parameter by its name here: 0 for embeddings, 1 to `layer_count` from the input upwards."""
        inner = name.removeprefix("network.")
        found = re.match(rf"{re.escape(self._layers_path)}\.(\d+)\.", inner)
        if found:
            return int(found[1]) + 1
        embeddings = {id(value) for value in self.network.get_input_embeddings().parameters()}
        value = dict(self.network.named_parameters()).get(inner)
        is_embedding = id(value) in embeddings or isinstance(self._owner_of(inner), nn.Embedding)
        return 0 if is_embedding else self.layer_count

    def frozen_parameter_names(self) -> list[str]:
        """Names of the parameters that are never trained, as `state_dict` has them."""
        own = dict(self.network.named_parameters(remove_duplicate=False))
        return [f"network.{name}" for name, value in own.items() if not value.requires_grad]

    def fingerprint(self) -> str:
        """Hash of the weights that this model was loaded from."""
        return fingerprint(self.options.source)

    def save_folder(self, folder: Path) -> None:
        """Write a transformers folder that `path:<folder>` loads; adapters are merged into the weights.

        Raises:
            StorageError: The disk refused it; a folder that lay there before is untouched.
        """
        save_causal(self.network, self.tokenizer, folder)

    def _owner_of(self, name: str) -> nn.Module | None:
        owner: nn.Module = self.network.get_submodule(name.rpartition(".")[0])
        return owner

    def _freeze_below(self, upper: int) -> None:
        if upper > self.layer_count:
            raise ConfigError(f"module.model.upper_layers={upper}: the model has {self.layer_count} layers only")
        lowest = self.layer_count - upper + 1
        head = {id(value) for value in self.head.parameters()}
        for name, parameter in self.network.named_parameters():
            # The head stays: tied to the embeddings or not, it is as large as several layers.
            parameter.requires_grad_(self.depth_of(name) >= lowest and id(parameter) not in head and not is_lora(name))

    def _attention_within(self, documents: Tensor, mask: Tensor) -> Tensor:
        """0 where a token (row) may look at another (column), else almost -inf, (batch, 1, tokens, tokens)."""
        allowed = (documents[:, :, None] == documents[:, None, :]) & mask[:, None, :]
        allowed = allowed.tril() | torch.eye(documents.shape[1], dtype=torch.bool, device=documents.device)
        # Additive, since not every attention of transformers takes a boolean mask; the value survives bf16.
        never = torch.finfo(torch.bfloat16).min
        return torch.zeros(allowed.shape, device=documents.device).masked_fill(~allowed, never)[:, None]


def positions_within(documents: Tensor) -> Tensor:
    """The place of each token within its text, (batch, tokens), for texts that lie one after the other in a row."""
    index = torch.arange(documents.shape[1], device=documents.device).expand_as(documents)
    starts = torch.ones_like(documents, dtype=torch.bool)
    starts[:, 1:] = documents[:, 1:] != documents[:, :-1]
    first = torch.where(starts, index, 0).cummax(dim=1).values
    return index - first


def load_language_model(options: LanguageModelOptions) -> LanguageModel:
    """Load the model of `options.source` in float32, in eval mode, with what is trained marked by `requires_grad`.

    Raises:
        WeightsError: The source cannot be had, or lacks parameters or a tokenizer.
        CapabilityError: The architecture cannot do what is asked.
    """
    network, tokenizer = load_causal(resolve(options.source), dropout=options.dropout)
    return LanguageModel(network, tokenizer, options=options).eval()
