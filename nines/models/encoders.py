"""Loads an encoder of transformers with the dropout that was asked for, and finds its layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nines.errors import CapabilityError, WeightsError
from nines.models import attention
from nines.models.dropout import DropoutOptions
from nines.models.fast_dropout import use_fast_dropout
from nines.models.quiet_loading import quietly

_HIDDEN = ("hidden_dropout_prob", "mlp_dropout", "hidden_dropout")
_ATTENTION = ("attention_probs_dropout_prob", "attention_dropout")
_LAYER_PATHS = ("encoder.layer", "layers")
"""Where encoders keep their layers: BERT, RoBERTa, DeBERTa-v2; ModernBERT."""


def load_encoder(folder: Path, *, dropout: DropoutOptions) -> nn.Module:
    """The encoder in `folder` in float32, without pooler or task head, in eval mode.

    Raises:
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
    for module in encoder.embeddings.modules():
        if isinstance(module, nn.Dropout) and embedding is not None:
            module.p = embedding
    use_fast_dropout(encoder)
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
        if (
            isinstance(layers, nn.ModuleList)
            and hasattr(encoder, "embeddings")
            and not hasattr(encoder, "embeddings_project")
        ):
            return path, layers
    raise CapabilityError(
        f"{type(encoder).__name__} keeps its layers where nines does not look; use a model of the BERT, RoBERTa, "
        "DeBERTa-v2 or ModernBERT family"
    )


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
