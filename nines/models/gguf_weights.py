"""Turns a quantised GGUF file into a folder that every transformers function loads: safetensors and a tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nines.errors import WeightsError


def convert_gguf(file: Path, folder: Path) -> None:
    """Write the causal language model of `file` into `folder`, dequantised once, so that later loads take a second.

    A model that transformers loads from GGUF refuses to be saved, so its parameters move into a fresh one. They are
    kept as bf16: 8 bits of mantissa hold whatever 4-bit quantisation left.

    Raises:
        WeightsError: A package for reading GGUF is missing, or the file cannot be read.
    """
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizers: Any = AutoTokenizer  # untyped in transformers
    models: Any = AutoModelForCausalLM
    try:
        tokenizer = tokenizers.from_pretrained(file.parent, gguf_file=file.name)
        loaded = models.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    except ImportError as error:
        raise WeightsError(f"reading {file.name} needs the packages gguf and accelerate: {error}") from error
    except (ValueError, OSError, KeyError, RuntimeError) as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsError(f"{file.name} cannot be read as GGUF: {first_line}") from error
    config = type(loaded.config).from_dict(
        {
            key: value
            for key, value in loaded.config.to_dict().items()
            if key not in ("quantization_config", "_name_or_path")
        }
    )
    config.dtype = torch.bfloat16
    fresh = models.from_config(config, dtype=torch.float32)
    fresh.load_state_dict(loaded.state_dict())
    fresh.to(torch.bfloat16)
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(folder)
    tied = {"lm_head.weight"} if config.tie_word_embeddings else set()
    parameters = {name: value.contiguous() for name, value in fresh.state_dict().items() if name not in tied}
    save_file(parameters, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save_pretrained(folder)
