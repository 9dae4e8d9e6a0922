import pytest
import torch

from nines.errors import CapabilityError, ConfigError, DataError
from nines.policies.causal_model import CausalModel
from nines.policies.row_cache import RowCache
from tests.nines.policies.small_models import PROMPTS, tiny_model


@pytest.fixture(scope="module")
def model() -> CausalModel:
    return tiny_model()


def logits_of(model: CausalModel, tokens: list[int]) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.model(torch.tensor([tokens])).logits[0, -1]
    return found


def test_prompts_of_unequal_length_are_read_as_if_each_were_alone(model: CausalModel) -> None:
    prompts = [model.tokens_of(prompt, max_new_tokens=4) for prompt in PROMPTS]
    for tokens, read in zip(prompts, model.read(prompts), strict=True):
        assert read.keys.shape[2] == read.values.shape[2] == len(tokens)
        assert torch.allclose(read.logits, logits_of(model, tokens), atol=1e-4)


def test_a_step_goes_on_where_the_prompt_ended(model: CausalModel) -> None:
    prompts = [model.tokens_of(prompt, max_new_tokens=4) for prompt in PROMPTS[:2]]
    read = model.read(prompts)
    rows = RowCache(rows=2, capacity=64, like=read[0].keys)
    for one in read:
        rows.add(one.keys, one.values)
    for new in ([5, 7], [9, 3]):
        logits = model.step(torch.tensor(new), rows)
        prompts = [[*tokens, token] for tokens, token in zip(prompts, new, strict=True)]
        for row, tokens in zip(logits, prompts, strict=True):
            assert torch.allclose(row, logits_of(model, tokens), atol=1e-4)


def test_a_prompt_keeps_its_end_and_loses_white_space_behind_it(model: CausalModel) -> None:
    short = CausalModel(model.model, model.tokenizer, max_prompt_tokens=3)
    whole = model.tokens_of(PROMPTS[0], max_new_tokens=4)
    assert short.tokens_of(f"{PROMPTS[0]}  \n", max_new_tokens=4) == whole[-3:]


def test_what_cannot_be_continued_is_refused(model: CausalModel) -> None:
    with pytest.raises(DataError, match="empty"):
        model.tokens_of("  \n", max_new_tokens=4)
    with pytest.raises(CapabilityError, match="lower max_prompt_tokens"):
        model.tokens_of(PROMPTS[0], max_new_tokens=100_000)
    with pytest.raises(ConfigError, match="max_prompt_tokens must be at least 1"):
        CausalModel(model.model, model.tokenizer, max_prompt_tokens=0)


def test_end_tokens_are_those_of_tokenizer_and_generation_config(model: CausalModel) -> None:
    assert model.tokenizer.eos_token_id in model.end_tokens
