import pytest
import torch

from lightning_modules.policy_sampling import PolicySampler, Sampled, SamplingCopy, as_completions, without_cached_casts
from nines.models.language_model import LanguageModel, LanguageModelOptions, load_language_model
from nines.policies.options import SamplingOptions

OPTIONS = SamplingOptions(temperature=1.0, top_p=1.0, max_new_tokens=6, stop_at_sentence_end=False)
PROMPTS = ["The road was quiet.", "She ran to the door, and"]


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return load_language_model(LanguageModelOptions(source="tiny:llama"))


def test_what_is_drawn_depends_on_row_and_seed_not_on_the_batch(model: LanguageModel) -> None:
    sampler = PolicySampler(model, OPTIONS, max_prompt_tokens=24)
    together = sampler.sample(PROMPTS, [4, 9], count=2, seed=1)
    assert [one.row for one in together] == [4, 4, 9, 9]
    assert sampler.sample(PROMPTS[1:], [9], count=2, seed=1) == together[2:]
    assert sampler.sample(PROMPTS[1:], [9], count=2, seed=2) != together[2:]
    assert all(1 <= len(one.tokens) <= 6 for one in together)


def test_completions_are_padded_on_both_sides_of_where_prompts_end() -> None:
    sampled = [
        Sampled(7, (1, 2, 3), (4,), "a", finished=True),
        Sampled(7, (5,), (6, 7), "b", finished=False),
    ]
    found = as_completions(sampled, padding=0, device=torch.device("cpu"))
    assert found.tokens.tolist() == [[1, 2, 3, 4, 0], [0, 0, 5, 6, 7]]
    assert found.mask.tolist() == [[True, True, True, True, False], [False, False, True, True, True]]
    assert found.completion_mask.tolist() == [[True, False], [True, True]]
    assert found.prompt.tolist() == [7, 7]
    assert found.finished.tolist() == [True, False]


def test_a_copy_follows_the_weights_that_are_trained(model: LanguageModel) -> None:
    copy = SamplingCopy(model, dtype=torch.bfloat16)
    name, parameter = next(iter(model.named_parameters()))
    before = parameter.detach().clone()
    try:
        with torch.no_grad():
            parameter.add_(1.0)
        fresh = dict(copy.refresh().named_parameters())[name]
        assert fresh.dtype == torch.bfloat16
        assert not fresh.requires_grad
        assert torch.equal(fresh, parameter.detach().bfloat16())
    finally:
        with torch.no_grad():
            parameter.copy_(before)


def test_casts_of_weights_are_forgotten_before_and_behind() -> None:
    weight, row = torch.nn.Parameter(torch.ones(1, 1)), torch.ones(1, 1)
    with torch.autocast("cpu", torch.bfloat16):
        torch.nn.functional.linear(row, weight)  # the cast of the weight is cached
        with torch.no_grad():
            weight.fill_(3.0)
        with without_cached_casts():
            assert float(torch.nn.functional.linear(row, weight)) == 3.0
