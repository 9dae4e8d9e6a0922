"""Loads a language model for sampling, in the precision that pays on this machine."""

from __future__ import annotations

import torch

from nines.errors import CapabilityError, ConfigError, nearest
from nines.models.causal_loading import load_causal
from nines.models.precision import default_precision
from nines.models.weights import resolve
from nines.policies.causal_model import CausalModel

PRECISIONS = ("auto", "fp32", "bf16")


def load_for_sampling(
    source: str, *, precision: str = "auto", device: str = "cpu", max_prompt_tokens: int = 512
) -> CausalModel:
    """The model of `source` with its tokenizer, in evaluation mode.

    Args:
        source: See `nines.models.weights`.
        precision: "fp32", "bf16", or "auto": bf16 where the device computes it natively.
        device: A torch device.
        max_prompt_tokens: Of a longer prompt the end is kept.

    Raises:
        ConfigError: An unknown precision.
        WeightsError: The model cannot be found or loaded.
        CapabilityError: This machine has no such device, or the model cannot be sampled from.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"precision={precision}: {nearest(precision, PRECISIONS)}")
    if precision == "auto":
        precision = "bf16" if default_precision(device.partition(":")[0]).startswith("bf16") else "fp32"
    network, tokenizer = load_causal(resolve(source))
    network = network.eval().to(torch.bfloat16 if precision == "bf16" else torch.float32)
    try:
        network = network.to(device)
    except (RuntimeError, AssertionError) as error:  # a build without CUDA asserts
        raise CapabilityError(f"device={device} cannot be used here: {str(error).splitlines()[0]}") from error
    return CausalModel(network, tokenizer, max_prompt_tokens=max_prompt_tokens)
