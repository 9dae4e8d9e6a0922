import numpy as np
import pytest
import torch
from scipy import stats

from nines.errors import ConfigError
from nines.policies import token_choice
from nines.policies.filters import min_p_mask, penalise_repetition, sampling_log_probs, top_k_mask, top_p_mask
from nines.policies.options import SamplingOptions
from nines.policies.token_choice import choose_tokens

PROBABILITIES = torch.tensor([0.05, 0.4, 0.25, 0.1, 0.2])
LOGITS = PROBABILITIES.log()[None]
OPTIONS = [
    SamplingOptions(temperature=1.0, top_p=1.0),
    SamplingOptions(temperature=0.7, top_p=0.8),
    SamplingOptions(temperature=1.3, top_p=1.0, top_k=3),
    SamplingOptions(temperature=1.0, top_p=1.0, min_p=0.3),
    SamplingOptions(temperature=2.0, top_p=0.9, top_k=4, min_p=0.2, repetition_penalty=1.5),
]


def brute_force(logits: torch.Tensor, options: SamplingOptions, history: torch.Tensor) -> torch.Tensor:
    """The distribution, token by token in plain Python."""
    rows = []
    for row, seen in zip(logits.double().tolist(), history.tolist(), strict=True):
        penalty = options.repetition_penalty or 1.0
        values = [(v / penalty if v > 0 else v * penalty) if i in seen else v for i, v in enumerate(row)]
        weights = {i: np.exp(v / options.temperature) for i, v in enumerate(values)}
        ranked = sorted(weights, key=lambda i: -weights[i])
        if options.top_k:
            ranked = ranked[: options.top_k]
        total, kept, mass = sum(weights[i] for i in ranked), [], 0.0
        for i in ranked:
            if kept and mass >= options.top_p * total:
                break
            kept.append(i)
            mass += weights[i]
        kept = [i for i in kept if weights[i] >= options.min_p * weights[ranked[0]]]
        total = sum(weights[i] for i in kept)
        rows.append([weights[i] / total if i in kept else 0.0 for i in range(len(row))])
    return torch.tensor(rows)


def test_masks_keep_what_their_papers_say() -> None:
    assert top_k_mask(LOGITS, 2).tolist() == [[False, True, True, False, False]]
    # 0.4 + 0.25 is less than 0.8, with 0.2 it is 0.85.
    assert top_p_mask(LOGITS, 0.8).tolist() == [[False, True, True, False, True]]
    assert top_p_mask(LOGITS, 0.39).tolist() == [[False, True, False, False, False]]
    assert min_p_mask(LOGITS, 0.45).tolist() == [[False, True, True, False, True]]


def test_a_repeated_token_is_made_less_likely_whatever_the_sign_of_its_logit() -> None:
    found = penalise_repetition(torch.tensor([[2.0, -2.0, 1.0]]), torch.tensor([[0, 1, -1]]), 2.0)
    assert found.tolist() == [[1.0, -4.0, 1.0]]


@pytest.mark.parametrize("options", OPTIONS)
def test_the_distribution_is_that_of_brute_force(options: SamplingOptions) -> None:
    logits = 2 * torch.randn((50, 12), generator=torch.Generator().manual_seed(0))
    history = torch.randint(-1, 12, (50, 4), generator=torch.Generator().manual_seed(1))
    found = sampling_log_probs(logits, options, history=history).exp().double()
    torch.testing.assert_close(found, brute_force(logits, options, history), atol=1e-6, rtol=0)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("candidates", [1, 3, 12, 256])
def test_inverse_cdf_over_the_candidates_is_that_over_the_whole_vocabulary(
    options: SamplingOptions, candidates: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_choice, "CANDIDATES", candidates)
    generator = torch.Generator().manual_seed(3)
    logits, history = (
        2 * torch.randn((300, 40), generator=generator),
        torch.randint(0, 40, (300, 2), generator=generator),
    )
    uniforms = torch.rand(300, generator=generator, dtype=torch.float64)
    tokens, log_probs = choose_tokens(logits, uniforms, options, history=history)
    whole = sampling_log_probs(logits, options, history=history).double()
    cumulative = whole.exp().cumsum(-1)
    expected = (cumulative <= uniforms[:, None] * cumulative[:, -1:]).sum(-1)
    assert tokens.tolist() == expected.tolist()
    torch.testing.assert_close(log_probs, whole.gather(1, tokens[:, None])[:, 0], atol=1e-5, rtol=0)


def test_frequencies_are_the_probabilities() -> None:
    options = SamplingOptions(temperature=1.0, top_p=0.94)
    uniforms = torch.from_numpy(np.random.default_rng(7).random(20_000))
    tokens, _ = choose_tokens(LOGITS.expand(20_000, -1), uniforms, options)
    counts = torch.bincount(tokens, minlength=5).numpy()
    expected = np.array([0.0, 0.4, 0.25, 0.1, 0.2]) / 0.95 * 20_000
    assert counts[0] == 0
    assert stats.chisquare(counts[1:], expected[1:]).pvalue > 0.001


@pytest.mark.parametrize("number", [0.0, 1.0 - 2**-53])
def test_the_ends_of_the_unit_interval_give_tokens_that_are_kept(number: float) -> None:
    for options in OPTIONS:
        tokens, log_probs = choose_tokens(LOGITS, torch.tensor([number], dtype=torch.float64), options)
        assert torch.isfinite(sampling_log_probs(LOGITS, options)[0, tokens]).all()
        assert torch.isfinite(log_probs).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": 0},
        {"temperature": float("nan")},
        {"top_p": 0},
        {"top_p": 1.1},
        {"top_k": -1},
        {"min_p": 1.0},
        {"repetition_penalty": 0.5},
        {"max_new_tokens": 0},
        {"shortest_sentence": -1},
    ],
)
def test_options_out_of_range_are_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        SamplingOptions(**wrong)  # type: ignore[arg-type]
