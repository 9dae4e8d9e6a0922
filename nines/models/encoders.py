"""Loads an encoder of transformers with the dropout that was asked for, and finds its layers.

A causal language model serves as encoder, too: its states of the completion's tokens have read prompt and completion.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nines.errors import CapabilityError, ConfigError, WeightsError
from nines.models import attention
from nines.models.dropout import DropoutOptions
from nines.models.fast_dropout import use_fast_dropout
from nines.models.quiet_loading import quietly

_HIDDEN = ("hidden_dropout_prob", "mlp_dropout", "hidden_dropout")
_ATTENTION = ("attention_probs_dropout_prob", "attention_dropout")
_LAYER_PATHS = ("encoder.layer", "layers")
"""Where encoders keep their layers: BERT, RoBERTa, DeBERTa-v2; ModernBERT, and decoders such as Llama and Qwen."""
_EMBEDDINGS = ("embeddings", "embed_tokens")
"""Where they keep their embeddings: encoders; decoders, whose positions enter in the layers (`rotary_emb`)."""


def load_encoder(folder: Path, *, dropout: DropoutOptions, layers: int | None = None) -> nn.Module:
    """The encoder in `folder` in float32, without pooler or task head, in eval mode.

    Args:
        folder: A transformers folder.
        dropout: What replaces the model's own.
        layers: Keep the lowest only; None keeps all. What is above them is neither stored nor computed.

    Raises:
        ConfigError: There are fewer `layers`, or none would stay.
        WeightsError: The folder cannot be loaded, or lacks parameters (which would silently stay random).
        CapabilityError: The architecture has no such dropout, or layers that nines does not know.
    """
    from transformers import AutoConfig, AutoModel

    load: Any = AutoModel.from_pretrained  # untyped in transformers
    attention.register()
    try:
        config = AutoConfig.from_pretrained(folder)
        own_embedding = _first_value(config, ("embedding_dropout", *_HIDDEN))
        _set_dropout(config, dropout)
        # DeBERTa's attention adds relative positions within the product: it has one implementation, its own.
        chosen = {} if config.model_type.startswith("deberta") else {"attn_implementation": attention.NAME}
        if _is_decoder(config):
            chosen = {"attn_implementation": "sdpa"}  # ours knows neither causal masks nor shared keys
        with quietly():
            encoder: Any
            encoder, report = load(
                folder, config=config, dtype=torch.float32, local_files_only=True, output_loading_info=True, **chosen
            )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise WeightsError(f"cannot load the encoder in {folder}: {str(error).splitlines()[0]}") from error
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None  # the head pools by itself
    missing = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
    if missing:
        raise WeightsError(
            f"the weights in {folder} lack {len(missing)} parameters of the architecture, such as {missing[0]}"
        )
    embedding = dropout.embedding if dropout.embedding is not None else own_embedding
    rates = [module for module in find_embeddings(encoder)[1].modules() if isinstance(module, nn.Dropout)]
    if dropout.embedding and not rates:
        raise CapabilityError(f"{config.model_type} has no embedding dropout; leave dropout.embedding empty")
    for module in rates:
        module.p = module.p if embedding is None else embedding
    use_fast_dropout(encoder)
    if layers is not None:
        _keep_lowest(encoder, layers)
    if dropout.layer_drop > 0:
        for layer in find_layers(encoder)[1]:
            layer.register_forward_hook(SkipRows(dropout.layer_drop), with_kwargs=True)
    loaded: nn.Module = encoder
    return loaded


def find_layers(encoder: nn.Module) -> tuple[str, nn.ModuleList]:
    """The dotted path of the list of layers, and the list.

    Raises:
        CapabilityError: The architecture keeps them where nines does not know, or projects its embeddings.
    """
    for path in _LAYER_PATHS:
        try:
            layers = encoder.get_submodule(path)
        except AttributeError:
            continue
        known = hasattr(encoder, "embeddings") or (hasattr(encoder, "embed_tokens") and hasattr(encoder, "rotary_emb"))
        if isinstance(layers, nn.ModuleList) and known and not hasattr(encoder, "embeddings_project"):
            return path, layers
    raise CapabilityError(
        f"{type(encoder).__name__} keeps its layers where nines does not look; use a model of the BERT, RoBERTa, "
        "DeBERTa-v2, ModernBERT or Llama family"
    )


def find_embeddings(encoder: nn.Module) -> tuple[str, nn.Module]:
    """The name of what makes hidden states of tokens, and the module, of an encoder whose layers can be found."""
    name = next(name for name in _EMBEDDINGS if hasattr(encoder, name))
    return name, encoder.get_submodule(name)


def check_layers(encoder: nn.Module, count: int | None) -> int:
    """How many of its layers `count` stands for, None for all.

    Raises:
        ConfigError: There are fewer, or none would stay.
    """
    there = len(find_layers(encoder)[1])
    if count is None:
        return there
    if not 1 <= count <= there:
        raise ConfigError(f"module.model.layers={count}: the model has {there}; give 1 to {there}, or null")
    return count


def recompute_activations(encoder: nn.Module) -> None:
    """Let each layer keep its input alone for the backward pass, and compute the rest again there; same gradients.

    Frozen layers keep nothing anyway. Where the classifier computes the last layer at few tokens, that one keeps its
    activations: the backward pass wants them first.

    Raises:
        CapabilityError: The architecture cannot do it.
    """
    if not getattr(encoder, "supports_gradient_checkpointing", False):
        raise CapabilityError(
            f"{type(encoder).__name__} cannot compute activations again; "
            "set module.model.activation_checkpointing=false"
        )
    enable: Any = encoder.activation_checkpointing_enable
    enable(activation_checkpointing_kwargs={"use_reentrant": False})  # the other way wants inputs with gradients


class SkipRows:
    """A forward hook that lets each row skip the layer with probability `rate` while training (Fan et al. 2019)."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __call__(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        """Mix the layer's input and output by row; `output` is (batch, tokens, hidden), or a tuple that starts so."""
        if not layer.training:
            return None
        hidden = args[0] if args else kwargs["hidden_states"]
        kept = torch.rand(hidden.shape[0], 1, 1, device=hidden.device) >= self.rate
        if isinstance(output, Tensor):
            return torch.where(kept, output, hidden)
        return (torch.where(kept, output[0], hidden), *output[1:])


def _is_decoder(config: Any) -> bool:
    """Whether each token sees only those before it: decoders alone share keys between heads, or may."""
    return hasattr(config, "num_key_value_heads")


def _keep_lowest(encoder: Any, count: int) -> None:
    path, layers = find_layers(encoder)
    check_layers(encoder, count)
    parent, _, name = path.rpartition(".")
    setattr(encoder.get_submodule(parent), name, layers[:count])
    encoder.config.num_hidden_layers = count


def _set_dropout(config: Any, dropout: DropoutOptions) -> None:
    for asked, names, what in ((dropout.hidden, _HIDDEN, "hidden"), (dropout.attention, _ATTENTION, "attention")):
        if asked is None:
            continue
        present = [name for name in names if hasattr(config, name)]
        if not present and asked > 0:
            raise CapabilityError(
                f"{config.model_type} has no {what} dropout that can be set; leave dropout.{what} empty"
            )
        for name in present:
            setattr(config, name, asked)


def _first_value(config: Any, names: tuple[str, ...]) -> float | None:
    return next((float(getattr(config, name)) for name in names if hasattr(config, name)), None)
