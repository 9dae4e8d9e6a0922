import pytest
import torch

from nines.errors import CapabilityError, ConfigError, DataError
from nines.policies.attempts import Attempt
from nines.policies.causal_model import CausalModel
from nines.policies.filters import sampling_log_probs
from nines.policies.options import SamplingOptions
from nines.policies.sampler import Sampler
from tests.nines.policies.small_models import PROMPTS, plain_tokens, tiny_model

COUNT = 5
OPTIONS = {
    "nucleus": SamplingOptions(max_new_tokens=10, temperature=1.1, top_p=0.9),
    "everything": SamplingOptions(max_new_tokens=10, top_p=1.0),
    "all filters": SamplingOptions(max_new_tokens=10, top_k=30, top_p=0.95, min_p=0.01, repetition_penalty=1.4),
    "sentences": SamplingOptions(max_new_tokens=24, temperature=1.5, top_p=1.0, shortest_sentence=0),
}


@pytest.fixture(scope="module")
def model() -> CausalModel:
    return tiny_model()


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_every_token_is_that_of_plain_sampling_one_row_at_a_time(model: CausalModel, options: SamplingOptions) -> None:
    found = Sampler(model, options, rows=7, refill=0.3).sample(PROMPTS, completions=COUNT, seed=11)
    for number, (prompt, attempts) in enumerate(zip(PROMPTS, found, strict=True)):
        assert [attempt.index for attempt in attempts] == list(range(COUNT))
        for attempt in attempts:
            tokens, log_probs = plain_tokens(
                model, prompt, options, seed=11, number=number, attempt=attempt.index, count=len(attempt.tokens)
            )
            assert list(attempt.tokens) == tokens
            assert attempt.token_log_probs == pytest.approx(log_probs, abs=1e-4)
            assert attempt.log_prob == pytest.approx(sum(log_probs), abs=1e-3)


@pytest.mark.parametrize(("rows", "refill"), [(1, 1.0), (2, 0.5), (7, 0.1), (7, 1.0), (64, 0.25)])
def test_neither_rows_nor_refilling_changes_a_completion(model: CausalModel, rows: int, refill: float) -> None:
    expected = Sampler(model, OPTIONS["sentences"], rows=5).sample(PROMPTS, completions=COUNT, seed=2)
    assert {len(attempt.tokens) for attempts in expected for attempt in attempts} >= {11, 13, 24}, "some end early"
    found = Sampler(model, OPTIONS["sentences"], rows=rows, refill=refill).sample(PROMPTS, completions=COUNT, seed=2)
    assert texts(found) == texts(expected)


def test_the_order_of_prompts_does_not_matter_when_they_keep_their_numbers(model: CausalModel) -> None:
    sampler = Sampler(model, OPTIONS["nucleus"], rows=6)
    expected = texts(sampler.sample(PROMPTS, completions=3, seed=4))
    order = [3, 0, 4, 2, 1]
    found = texts(sampler.sample([PROMPTS[place] for place in order], completions=3, seed=4, numbers=order))
    assert found == [expected[place] for place in order]
    assert texts(sampler.sample([PROMPTS[2]], completions=3, seed=4, numbers=[2])) == [expected[2]]


def test_padding_beside_longer_prompts_changes_no_log_probability(model: CausalModel) -> None:
    sampler = Sampler(model, OPTIONS["everything"], rows=32)
    (alone,) = sampler.sample([PROMPTS[4]], completions=4, seed=1)
    (padded, _) = sampler.sample([PROMPTS[4], " and ".join(PROMPTS)], completions=4, seed=1)
    for first, second in zip(alone, padded, strict=True):
        assert first.tokens == second.tokens
        assert first.token_log_probs == pytest.approx(second.token_log_probs, abs=1e-5)


def test_log_probabilities_are_those_of_one_forward_pass(model: CausalModel) -> None:
    options = OPTIONS["nucleus"]
    found = Sampler(model, options).sample(PROMPTS, completions=2, seed=6)
    for prompt, attempts in zip(PROMPTS, found, strict=True):
        start = model.tokens_of(prompt, max_new_tokens=10)
        for attempt in attempts:
            with torch.no_grad():
                logits = model.model(torch.tensor([[*start, *attempt.tokens]])).logits[0, len(start) - 1 : -1]
            expected = sampling_log_probs(logits, options).gather(1, torch.tensor(attempt.tokens)[:, None])[:, 0]
            assert attempt.token_log_probs == pytest.approx(expected.tolist(), abs=1e-4)


def test_seeds_prompts_and_attempts_all_differ(model: CausalModel) -> None:
    sampler = Sampler(model, OPTIONS["everything"])
    found = [texts(sampler.sample([PROMPTS[0]] * 2, completions=3, seed=seed)) for seed in (0, 1)]
    drawn = [text for prompts in found for attempts in prompts for text in attempts]
    assert len(set(drawn)) == len(drawn) == 12


def test_work_counts_each_prompt_once_and_every_token(model: CausalModel) -> None:
    sampler = Sampler(model, OPTIONS["nucleus"], rows=4)
    attempts = [a for found in sampler.sample(PROMPTS, completions=3, seed=0) for a in found]
    lengths = [len(model.tokens_of(prompt, max_new_tokens=10)) for prompt in PROMPTS]
    assert sampler.work.prompt_tokens == sum(lengths)
    assert sampler.work.drawn_tokens == sum(attempt.drawn_tokens for attempt in attempts)
    # The first token of each comes with the prompt.
    assert sampler.work.rows == sampler.work.drawn_tokens - len(attempts)


def test_the_model_is_left_as_it_was(model: CausalModel) -> None:
    model.model.train()
    model.model.model.layers[1].eval()
    Sampler(model, OPTIONS["nucleus"]).sample(PROMPTS[:1], seed=0)
    assert model.model.training
    assert not model.model.model.layers[1].training
    model.model.eval()


def test_bfloat16_gives_completions_too() -> None:
    model = tiny_model()
    model.model.to(torch.bfloat16)
    (attempts,) = Sampler(model, OPTIONS["nucleus"], rows=3).sample(PROMPTS[:1], completions=4, seed=0)
    assert all(0 < len(attempt.tokens) <= 10 for attempt in attempts)


def test_the_end_of_a_long_prompt_is_kept(model: CausalModel) -> None:
    short = CausalModel(model.model, model.tokenizer, max_prompt_tokens=4)
    whole = model.tokens_of(PROMPTS[3], max_new_tokens=10)
    assert short.tokens_of(PROMPTS[3], max_new_tokens=10) == whole[-4:]


def test_what_cannot_be_sampled_is_refused(model: CausalModel) -> None:
    with pytest.raises(DataError, match="empty"):
        Sampler(model).sample(["  \n"], seed=0)
    with pytest.raises(CapabilityError, match="lower max_prompt_tokens to 502"):
        Sampler(model, OPTIONS["nucleus"]).sample(["door " * 2000], seed=0)
    with pytest.raises(ConfigError, match="rows"):
        Sampler(model, rows=0)
    with pytest.raises(ConfigError, match="refill"):
        Sampler(model, refill=0)
    with pytest.raises(ConfigError, match="as many numbers"):
        Sampler(model).sample(PROMPTS, seed=0, numbers=[1])
    assert Sampler(model).sample([], seed=0) == []


def texts(found: list[list[Attempt]]) -> list[list[str]]:
    return [[attempt.text for attempt in attempts] for attempts in found]
