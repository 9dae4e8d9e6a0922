"""Language models small enough for tests, and the plain way of sampling from them."""

from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from nines.models.weights import resolve
from nines.policies.causal_model import CausalModel
from nines.policies.filters import sampling_log_probs
from nines.policies.options import SamplingOptions
from nines.policies.random_numbers import uniforms

PROMPTS = [
    "The road was quiet and the night came.",
    "She ran to the door of the hospital, and then",
    "Nobody was in the house. The dog",
    "He looked at the knife in the hand of the man and said nothing, because he knew",
    "Fire",
]


def tiny_model(*, scale: float = 8.0) -> CausalModel:
    """The tiny Llama, its logits scaled so that its distributions are far from uniform, its sentences short."""
    folder = resolve("tiny:llama")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        model.lm_head.weight.mul_(scale)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    likelier = torch.zeros(len(tokenizer))
    likelier[tokenizer(".?! one The")["input_ids"]] = 12.0
    model.lm_head.bias = torch.nn.Parameter(likelier)
    return CausalModel(model, tokenizer)


def plain_tokens(
    model: CausalModel, prompt: str, options: SamplingOptions, *, seed: int, number: int, attempt: int, count: int
) -> tuple[list[int], list[float]]:
    """`count` tokens of one completion: one row, no cache, the whole text read anew for each token, a full sort."""
    seen = model.tokens_of(prompt, max_new_tokens=options.max_new_tokens)
    start = len(seen)
    numbers = uniforms(seed, prompt=number, attempt=attempt, count=count)
    found = []
    for position in range(count):
        with torch.no_grad():
            logits: Any = model.model(torch.tensor([seen])).logits[:, -1]
        log_probs = sampling_log_probs(logits, options, history=torch.tensor([seen]))[0].double()
        cumulative = log_probs.exp().cumsum(0)
        token = int((cumulative <= numbers[position] * cumulative[-1]).sum())
        seen.append(token)
        found.append(float(log_probs[token]))
    return seen[start:], found
