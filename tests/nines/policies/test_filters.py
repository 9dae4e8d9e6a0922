import pytest
import torch

from nines.policies.filters import (
    adjusted_logits,
    min_p_mask,
    penalise_repetition,
    sampling_log_probs,
    top_k_mask,
    top_p_mask,
)
from nines.policies.options import SamplingOptions

PROBABILITIES = torch.tensor([[0.5, 0.25, 0.15, 0.1]])
LOGITS = PROBABILITIES.log()


def test_top_k_keeps_exactly_so_many_whatever_the_ties() -> None:
    assert top_k_mask(LOGITS, 2).tolist() == [[True, True, False, False]]
    assert int(top_k_mask(torch.zeros(1, 5), 3).sum()) == 3
    assert top_k_mask(LOGITS, 9).all()


@pytest.mark.parametrize(("p", "kept"), [(0.3, 1), (0.5, 1), (0.6, 2), (0.75, 2), (0.8, 3), (1.0, 4)])
def test_top_p_keeps_the_smallest_set_that_holds_it(p: float, kept: int) -> None:
    assert top_p_mask(LOGITS.double(), p).tolist() == [[place < kept for place in range(4)]]


def test_min_p_is_a_share_of_the_likeliest() -> None:
    assert min_p_mask(LOGITS, 0.4).tolist() == [[True, True, False, False]]
    assert min_p_mask(LOGITS, 0.0).all()


def test_a_repeated_token_loses_whichever_its_sign() -> None:
    logits = torch.tensor([[2.0, -1.0, 3.0], [2.0, -1.0, 3.0]])
    found = penalise_repetition(logits, torch.tensor([[0, 1], [2, -1]]), 2.0)
    assert found.tolist() == [[1.0, -2.0, 3.0], [2.0, -1.0, 1.5]]


def test_temperature_divides_after_the_penalty() -> None:
    options = SamplingOptions(temperature=0.5, repetition_penalty=2.0)
    found = adjusted_logits(torch.tensor([[2.0, 1.0]]), options, history=torch.tensor([[0]]))
    assert found.tolist() == [[2.0, 2.0]]


def test_filters_apply_one_after_the_other_and_what_is_left_sums_to_one() -> None:
    # Top-k leaves 5/9, 2.5/9, 1.5/9; of these top-p 0.6 keeps two, as their order's mass before the second is 0.56.
    found = sampling_log_probs(LOGITS, SamplingOptions(temperature=1.0, top_k=3, top_p=0.6)).exp()
    assert found[0].tolist() == pytest.approx([2 / 3, 1 / 3, 0, 0])
    # Without top-k the same top-p keeps two as well, but 0.52 keeps one or two by what top-k has left.
    assert sampling_log_probs(LOGITS, SamplingOptions(temperature=1.0, top_k=3, top_p=0.52)).exp()[0, 1] == 0
    assert sampling_log_probs(LOGITS, SamplingOptions(temperature=1.0, top_p=0.52)).exp()[0, 1] > 0
