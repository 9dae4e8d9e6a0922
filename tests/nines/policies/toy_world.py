"""A language model of seven words whose distribution is known by heart, and a scorer that knows each sentence."""

from collections.abc import Sequence
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import LlamaConfig, LlamaForCausalLM

from nines.policies.causal_model import CausalModel
from nines.policies.options import SamplingOptions
from nines.policies.sampler import Sampler

WORDS = ("<end>", "go", "cut", "sit", "hit", "run", "nap")
OPTIONS = SamplingOptions(temperature=1.0, top_p=1.0, max_new_tokens=3, stop_at_sentence_end=False)


class WordTokenizer:
    """Seven words, one token each."""

    eos_token_id = 0

    def __call__(self, text: str) -> dict[str, list[int]]:
        return {"input_ids": [WORDS.index(word) for word in text.split()]}

    def decode(self, tokens: Sequence[int], **options: Any) -> str:
        return " ".join(WORDS[token] for token in tokens if token != self.eos_token_id)


def toy_sampler(*, rows: int = 64) -> Sampler:
    """Sampler of a random Llama on the seven words; completions have one to three tokens."""
    config = LlamaConfig(
        vocab_size=len(WORDS), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    config.eos_token_id, config.bos_token_id = 0, None
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = LlamaForCausalLM(config).eval()
        model.lm_head.weight.data.mul_(20)
    return Sampler(CausalModel(model, WordTokenizer()), OPTIONS, rows=rows)


def distribution(sampler: Sampler, prompt: str) -> dict[str, float]:
    """The probability of every completion, by brute force: each of the 7^3 sequences through the model."""
    start = sampler.model.tokens_of(prompt, max_new_tokens=3)
    found: dict[str, float] = {}
    sequences = torch.tensor(list(product(range(len(WORDS)), repeat=3)))
    with torch.no_grad():
        rows = torch.cat([torch.tensor(start).expand(len(sequences), -1), sequences], dim=1)
        log_probs = sampler.model.model(rows).logits[:, len(start) - 1 : -1].log_softmax(-1).double()
    chosen = log_probs.gather(2, sequences[:, :, None])[:, :, 0].exp().numpy()
    for sequence, probabilities in zip(sequences.tolist(), chosen, strict=True):
        text = WordTokenizer().decode(sequence[: sequence.index(0)] if 0 in sequence else sequence)
        # Sequences that differ behind the end share a text, and their probabilities add up to that of its beginning.
        found[text] = found.get(text, 0.0) + float(np.prod(probabilities))
    return found


def score(text: str) -> float:
    """What the toy classifier makes of a completion."""
    return (0.75 if "cut" in text else 0.0) + (0.2 if "hit" in text else 0.0) + 0.01 * text.count("run")


def toy_scorer() -> SimpleNamespace:
    """A scorer that keeps the completions that it was asked about, in `asked`."""
    asked: list[str] = []

    def call(prompts: Sequence[str], completions: Sequence[str]) -> NDArray[np.float64]:
        asked.extend(completions)
        return np.array([score(text) for text in completions])

    return SimpleNamespace(call=call, asked=asked)
