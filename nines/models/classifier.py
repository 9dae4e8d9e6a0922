"""The classifier of pairs: an encoder, its lower layers frozen on request, pooling, and a head with one logit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nines.errors import ConfigError
from nines.models.dropout import DropoutOptions
from nines.models.encoders import check_layers, find_embeddings, find_layers, load_encoder, recompute_activations
from nines.models.head import ClassifierHead, check_pooling, pool
from nines.models.last_layer import can_narrow, last_layer_at, tokens_read
from nines.models.likelihood import Likelihood, StandardisedFeatures
from nines.models.stages import EncoderStages
from nines.models.weights import EMBEDDED_SOURCE, fingerprint, resolve

Batch = Mapping[str, Tensor]


@dataclass(frozen=True)
class PairClassifierOptions:
    """What the configuration group `model` holds.

    Args:
        source: Where encoder and tokenizer come from, see `nines.models.weights`.
        max_tokens: The longest pair in tokens; a longer prompt loses its start.
        pooling: cls, mean, max, completion_mean or completion_last, see `nines.models.head.pool`.
        layers: Keep the encoder's lowest layers only; None keeps all.
        likelihood: The head also reads how likely the encoder, a causal language model, finds the completion, see
            `nines.models.likelihood`. All layers are frozen then, and `layers` says after which one states are read.
        head_hidden: Width of the head's hidden layer; None for a linear head.
        freeze_layers: 0 trains all; k freezes the embeddings and the k lower layers.
        trunk_cache: Whether the outputs of frozen layers are computed once and kept on disk.
        activation_checkpointing: Keep only the inputs of each trained layer for the backward pass and compute the rest
            again (Chen et al. 2016): a third more time, and memory for the activations of one layer instead of all.
    """

    source: str = EMBEDDED_SOURCE
    max_tokens: int = 128
    pooling: str = "completion_mean"
    layers: int | None = None
    likelihood: bool = False
    head_hidden: int | None = None
    freeze_layers: int = 0
    trunk_cache: bool = True
    activation_checkpointing: bool = False


class PairClassifier(nn.Module):
    """An encoder with a head that gives one logit for each pair: above 0 means more likely injurious than not.

    A batch is a mapping with `input_ids` (batch, tokens), or with `hidden_states` (batch, tokens, hidden) that the
    frozen layers gave before (see `nines.models.trunk_cache`); with `completion_mask` and, if there is padding,
    `attention_mask`, both (batch, tokens) bool; and with `token_type_ids` if the model uses them. Other keys are
    ignored.

    Args:
        encoder: As `nines.models.encoders.load_encoder` gives it.
        source: Where its weights came from.
        pooling, head_hidden, freeze_layers: See `PairClassifierOptions`.
        dropout: See `DropoutOptions`; the encoder has its share already.
        likelihood_layer: Read the likelihood too, and states after this layer; None reads the encoder's output alone.

    Attributes:
        trunk_width: Values for each token that the frozen layers give.
        trunk_name: What tells those values from others of the same frozen layers.

    Raises:
        ConfigError: `freeze_layers` is not between 0 and the number of layers, or there is no such pooling.
        CapabilityError: A dropout would act on frozen parts only.
    """

    def __init__(
        self,
        encoder: nn.Module,
        source: str,
        *,
        pooling: str = "completion_mean",
        head_hidden: int | None = None,
        freeze_layers: int = 0,
        dropout: DropoutOptions | None = None,
        likelihood_layer: int | None = None,
    ) -> None:
        super().__init__()
        dropout = dropout or DropoutOptions()
        self._layers_path, layers = find_layers(encoder)
        self.layer_count = len(layers)
        if not 0 <= freeze_layers <= self.layer_count:
            raise ConfigError(f"freeze_layers={freeze_layers}: {source} has {self.layer_count} layers")
        dropout.check_frozen(freeze_layers, self.layer_count)
        self.source = source
        self.pooling = check_pooling(pooling)
        self.freeze_layers = freeze_layers
        self.multi_sample = dropout.multi_sample
        self.hidden_size: int = encoder.config.hidden_size  # type: ignore[union-attr, assignment]
        self.encoder = encoder
        self._likelihood = None if likelihood_layer is None else Likelihood(encoder, layer=likelihood_layer)
        if self._likelihood is not None and freeze_layers < self.layer_count:
            raise ConfigError(
                f"module.model.likelihood=true trains the head alone; set module.model.freeze_layers={self.layer_count}"
            )
        self.trunk_width = self.hidden_size if self._likelihood is None else self._likelihood.width
        self.trunk_name: object = (
            freeze_layers if likelihood_layer is None else (freeze_layers, "likelihood", likelihood_layer)
        )
        self.features = None if self._likelihood is None else StandardisedFeatures(self.hidden_size)
        width = self.hidden_size if self.features is None else self.features.width
        self.head = ClassifierHead(width, hidden=head_hidden, dropout=_head_rate(encoder, dropout))
        trained_last = freeze_layers < self.layer_count
        self._narrow = trained_last and dropout.layer_drop == 0 and can_narrow(layers[-1], self.pooling)
        self._stages = EncoderStages(encoder, freeze_layers, end=self.layer_count - self._narrow)
        self._frozen = frozenset(name for name, _ in self.named_parameters() if self.depth_of(name) <= freeze_layers)
        if not freeze_layers:
            self._frozen = frozenset()
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name not in self._frozen)
        self.train()

    def forward(self, batch: Batch) -> Tensor:
        """Logits (batch,); while training with several dropout masks, their mean."""
        return self.sample_logits(batch).mean(dim=0)

    def sample_logits(self, batch: Batch) -> Tensor:
        """Logits (samples, batch): one row for each dropout mask of the head while training, one row otherwise."""
        return self.head(self.pooled(batch), self.multi_sample if self.training else 1)  # type: ignore[no-any-return]

    def pooled(self, batch: Batch) -> Tensor:
        """What the head reads: (batch, hidden)."""
        hidden = self._upper_layers(batch)
        attention_mask, completion_mask = batch.get("attention_mask"), batch["completion_mask"]
        if self.features is not None:
            states, log_probs = hidden[..., :-1], hidden[..., -1]
            read = pool(states, self.pooling, attention_mask=attention_mask, completion_mask=completion_mask)
            return self.features(read, log_probs, completion_mask)  # type: ignore[no-any-return]
        if not self._narrow:
            return pool(hidden, self.pooling, attention_mask=attention_mask, completion_mask=completion_mask)
        positions, real = tokens_read(self.pooling, completion_mask)
        last = self.encoder.get_submodule(f"{self._layers_path}.{self.layer_count - 1}")
        read = last_layer_at(last, hidden, positions, attention_mask=attention_mask)
        return pool(read, self.pooling, attention_mask=real, completion_mask=real)

    def _upper_layers(self, batch: Batch) -> Tensor:
        """Hidden states (batch, tokens, hidden) below the head, or below the last layer where that is narrowed."""
        if not self.freeze_layers:
            return _run(self._stages.upper, batch, input_ids=batch["input_ids"])
        hidden = batch["hidden_states"] if "hidden_states" in batch else self.trunk(batch)
        if self._stages.upper is None:
            return hidden
        if not torch.is_autocast_enabled(hidden.device.type):
            hidden = hidden.to(self.head.output.weight.dtype)  # kept as bf16, read in full precision
        return _run(self._stages.upper, batch, inputs_embeds=hidden)

    @torch.no_grad()
    def trunk(self, batch: Batch) -> Tensor:
        """What the frozen layers make of `input_ids`: (batch, tokens, trunk_width), as the trunk cache keeps it.

        Under bf16 autocast the result is rounded to bf16 here, cached or not, so that both ways train alike.
        """
        if self._stages.lower is None:
            raise ConfigError("freeze_layers=0: there are no frozen layers whose output could be kept")
        if self._likelihood is not None:
            hidden = self._likelihood.states(batch)
        else:
            hidden = _run(self._stages.lower, batch, input_ids=batch["input_ids"])
        device = hidden.device.type
        if torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) == torch.bfloat16:
            return hidden.to(torch.bfloat16)
        return hidden

    def train(self, mode: bool = True) -> PairClassifier:
        """Switch dropout on or off; frozen parts stay in eval mode."""
        super().train(mode)
        if self.freeze_layers:
            for name, module in self.encoder.named_modules():
                if name and self.depth_of(f"encoder.{name}.") <= self.freeze_layers:
                    module.training = False
        return self

    @property
    def layers(self) -> list[nn.Module]:
        """The encoder's layers, from the input upwards."""
        return list(find_layers(self.encoder)[1])

    def whole_parts(self) -> list[nn.Module]:
        """What a strategy that shares parameters out may gather by itself: embeddings and all layers but the last.

        The last one belongs to the outermost group, with the head: it is computed piece by piece, past its `forward`.
        """
        return [find_embeddings(self.encoder)[1], *self.layers[:-1]]

    def entry_points(self) -> tuple[str, ...]:
        """Methods besides `forward` by which a computation begins."""
        return ("sample_logits", "trunk")

    def depth_of(self, parameter_name: str) -> int:
        """How far above the input a parameter lies: 0 embeddings, 1 … L layers, L + 1 head. A prefix does not matter.

        Raises:
            ValueError: The name is no parameter of a classifier.
        """
        match = re.search(r"(?:^|\.)(encoder|head)\.(.*)", parameter_name)
        if match is None:
            raise ValueError(f"{parameter_name!r} is no parameter of a classifier")
        part, rest = match.groups()
        if part == "head":
            return self.layer_count + 1
        if layer := re.match(rf"{re.escape(self._layers_path)}\.(\d+)\.", rest):
            return int(layer[1]) + 1
        if rest.startswith("encoder.conv."):
            return 1  # DeBERTa-v2's convolution acts on the first layer's output
        if rest.startswith(("final_norm.", "norm.")):
            return self.layer_count
        return 0  # embeddings, and the relative positions that every layer of DeBERTa-v2 reads

    def frozen_parameter_names(self) -> frozenset[str]:
        """What training never changes: a checkpoint can leave these out and keep `fingerprint()` instead."""
        return self._frozen

    def fingerprint(self) -> str:
        """The hash of the weights that the encoder started from."""
        return fingerprint(self.source)


def build_pair_classifier(
    source: str = EMBEDDED_SOURCE,
    *,
    pooling: str = "completion_mean",
    layers: int | None = None,
    likelihood: bool = False,
    head_hidden: int | None = None,
    freeze_layers: int = 0,
    dropout: DropoutOptions | None = None,
    activation_checkpointing: bool = False,
) -> PairClassifier:
    """Load the encoder of `source` and put a fresh head on it (drawn from torch's global generator).

    Raises:
        WeightsError: The weights cannot be had.
        ConfigError, CapabilityError: As for `PairClassifier`.
    """
    check_pooling(pooling)
    options = dropout or DropoutOptions()
    encoder = load_encoder(resolve(source), dropout=options, layers=None if likelihood else layers)
    read_after = None
    if likelihood:
        read_after = check_layers(encoder, layers)
    if activation_checkpointing:
        recompute_activations(encoder)
    return PairClassifier(
        encoder,
        source,
        pooling=pooling,
        head_hidden=head_hidden,
        freeze_layers=freeze_layers,
        dropout=options,
        likelihood_layer=read_after,
    )


def _run(encoder: nn.Module | None, batch: Batch, **inputs: Tensor) -> Tensor:
    if "token_type_ids" in batch and "input_ids" in inputs:
        inputs["token_type_ids"] = batch["token_type_ids"]
    if (mask := batch.get("attention_mask")) is not None:
        inputs["attention_mask"] = mask.long()  # DeBERTa-v2 calculates with it
    assert encoder is not None  # the stages above ask for it only where it exists
    hidden: Tensor = encoder(**inputs).last_hidden_state
    return hidden


def _head_rate(encoder: nn.Module, dropout: DropoutOptions) -> float:
    """The head's dropout: as asked, else the model's own for classifiers, else its hidden dropout."""
    if dropout.head is not None:
        return dropout.head
    for name in ("classifier_dropout", "cls_dropout", "hidden_dropout_prob"):
        if (value := getattr(encoder.config, name, None)) is not None:
            return float(value)
    return 0.0
