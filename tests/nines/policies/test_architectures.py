"""The sampler with architectures whose attention is not the grouped one, and those that it must refuse."""

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from nines.errors import CapabilityError
from nines.models.weights import resolve
from nines.policies.causal_model import CausalModel
from nines.policies.grouped_attention import NAME, grouped_attention, use_grouped_attention
from nines.policies.options import SamplingOptions
from nines.policies.sampler import Sampler
from tests.nines.policies.small_models import PROMPTS, plain_tokens

SHAPES: dict[str, dict[str, Any]] = {
    "gpt_neo": {
        "hidden_size": 32,
        "num_layers": 2,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 1]],
        "max_position_embeddings": 128,
    },
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4},
    "qwen3": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
    },
}
OPTIONS = SamplingOptions(max_new_tokens=8, temperature=0.7)


def random_model(kind: str, **settings: Any) -> CausalModel:
    tokenizer = AutoTokenizer.from_pretrained(resolve("tiny:llama"))
    config = AutoConfig.for_model(kind, vocab_size=len(tokenizer), eos_token_id=1, **SHAPES.get(kind, {}), **settings)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config).eval()
        for parameter in model.parameters():
            parameter.data.mul_(3)  # random models are nearly uniform
    return CausalModel(model, tokenizer)


@pytest.mark.parametrize("kind", ["gpt_neo", "gpt2", "qwen3"])
def test_tokens_are_those_of_plain_sampling(kind: str) -> None:
    model = random_model(kind)
    found = Sampler(model, OPTIONS, rows=3).sample(PROMPTS, completions=2, seed=5)
    for number, attempts in enumerate(found):
        for attempt in attempts:
            tokens, _ = plain_tokens(
                model, PROMPTS[number], OPTIONS, seed=5, number=number, attempt=attempt.index, count=len(attempt.tokens)
            )
            assert list(attempt.tokens) == tokens


def test_a_local_window_shorter_than_the_text_is_refused() -> None:
    model = random_model("gpt_neo", window_size=10)
    with pytest.raises(CapabilityError, match="more than the 10 that the model reads"):
        Sampler(model, OPTIONS).sample(PROMPTS, seed=0)


def test_a_model_without_keys_and_values_is_refused() -> None:
    with pytest.raises(CapabilityError, match=r"Mamba.* takes no position_ids"):
        random_model("mamba", hidden_size=32, num_hidden_layers=2, state_size=4)


def test_only_suited_models_attend_by_groups() -> None:
    assert random_model("qwen3").model.config._attn_implementation == NAME
    assert not use_grouped_attention(random_model("gpt2").model)


def test_grouped_attention_is_attention_with_repeated_keys() -> None:
    generator = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(shape, generator=generator) for shape in ((3, 6, 1, 8), (3, 2, 5, 8), (3, 2, 5, 8))
    )
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]], dtype=torch.bool)[:, None, None]
    repeated = [tensor.repeat_interleave(3, dim=1) for tensor in (key, value)]
    expected = torch.nn.functional.scaled_dot_product_attention(query, *repeated, attn_mask=mask)
    found = grouped_attention(query, key, value, mask)
    torch.testing.assert_close(found, expected.transpose(1, 2))


def test_several_tokens_and_gradients_go_through_torch_as_before() -> None:
    model = random_model("qwen3").model
    tokens = torch.arange(12).view(2, 6)
    logits = model(tokens).logits
    logits.sum().backward()
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    model.set_attn_implementation("sdpa")
    expected = model(tokens).logits
    expected.sum().backward()
    torch.testing.assert_close(logits, expected)
    torch.testing.assert_close(gradients, [parameter.grad for parameter in model.parameters()])
