"""Loads a causal language model of transformers with its tokenizer, finds its layers, and saves it as a folder."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nines.errors import CapabilityError, StorageError, WeightsError
from nines.models.lora import merged_state
from nines.models.quiet_loading import quietly

_DROPOUTS = (
    "attention_dropout", "hidden_dropout", "resid_dropout", "embed_dropout",
    "attn_pdrop", "resid_pdrop", "embd_pdrop", "hidden_dropout_prob", "attention_probs_dropout_prob",
)  # fmt: skip


def load_causal(folder: Path, *, dropout: float | None = None) -> tuple[Any, Any]:
    """The model in `folder`, in float32, and its tokenizer, which has a padding token.

    Args:
        folder: A transformers folder.
        dropout: Of every place where the architecture has one; None keeps the model's own.

    Raises:
        WeightsError: The folder cannot be loaded, or lacks parameters (which would silently stay random).
        CapabilityError: The architecture has no dropout, or its tokenizer no token for the end of a text.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    load: Any = AutoModelForCausalLM.from_pretrained  # untyped in transformers
    try:
        config = AutoConfig.from_pretrained(folder)
        _set_dropout(config, dropout)
        with quietly():
            network, report = load(
                folder, config=config, dtype=torch.float32, local_files_only=True, output_loading_info=True
            )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise WeightsError(f"cannot load the language model in {folder}: {str(error).splitlines()[0]}") from error
    if missing := sorted(report["missing_keys"]):
        raise WeightsError(
            f"the weights in {folder} lack {len(missing)} parameters of the architecture, such as {missing[0]}"
        )
    return network, load_tokenizer(folder)


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer in `folder`; one without a padding token pads with the end of a text.

    Raises:
        WeightsError: The folder holds none that can be read.
        CapabilityError: It has no token for the end of a text.
    """
    from transformers import AutoTokenizer

    tokenizers: Any = AutoTokenizer  # untyped in transformers
    try:
        tokenizer = tokenizers.from_pretrained(folder)
    except (OSError, ValueError, ImportError) as error:
        raise WeightsError(f"{folder} holds no tokenizer that can be read: {str(error).splitlines()[0]}") from error
    if tokenizer.eos_token_id is None:
        raise CapabilityError(f"the tokenizer in {folder} has no token for the end of a text (eos_token)")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def find_decoder_layers(network: Any) -> tuple[str, nn.ModuleList]:
    """The dotted path of the list of layers, and the list.

    Raises:
        CapabilityError: The architecture keeps them where nines does not look.
    """
    count = network.config.num_hidden_layers
    trunk = network.base_model
    for name, module in network.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == count and name.startswith(network.base_model_prefix):
            return name, module
    raise CapabilityError(f"{type(trunk).__name__} keeps its layers where nines does not look")


def save_causal(network: Any, tokenizer: Any, folder: Path) -> None:
    """Write model and tokenizer into `folder`, adapters merged; it appears as a whole and replaces what lay there.

    Raises:
        StorageError: The disk refused it; what lay there before is untouched.
    """
    from safetensors.torch import save_file

    folder = folder.expanduser().absolute()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
            fresh = Path(temporary) / "model"
            fresh.mkdir()
            network.config.save_pretrained(fresh)
            tokenizer.save_pretrained(fresh)
            state, seen = {}, set()
            for name, value in merged_state(network).items():
                # Tied weights lie in the file once, under their first name.
                if value.data_ptr() not in seen:
                    seen.add(value.data_ptr())
                    state[name] = value.detach().cpu().contiguous()
            save_file(state, fresh / "model.safetensors", metadata={"format": "pt"})
            if folder.exists():
                folder.replace(Path(temporary) / "before") if not folder.is_symlink() else folder.unlink()
            fresh.replace(folder)
    except OSError as error:
        raise StorageError(f"cannot write the model to {folder}: {error.strerror or error}") from error


def _set_dropout(config: Any, dropout: float | None) -> None:
    if dropout is None:
        return
    present = [name for name in _DROPOUTS if hasattr(config, name)]
    if not present and dropout > 0:
        raise CapabilityError(f"{config.model_type} has no dropout that can be set; leave module.model.dropout empty")
    for name in present:
        setattr(config, name, dropout)
