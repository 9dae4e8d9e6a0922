import math

import numpy as np
import pytest
import torch

from nines.errors import DataError
from nines.rl.masking import combine_moments, last_index, masked_mean, masked_sum, moments, whiten

VALUES = torch.tensor([[1.0, 2.0, math.nan], [4.0, math.inf, -math.inf]])
MASK = torch.tensor([[True, True, False], [True, False, False]])


def test_what_padding_holds_never_matters():
    assert masked_sum(VALUES, MASK) == 7.0
    assert masked_mean(VALUES, MASK) == pytest.approx(7 / 3)


def test_padding_gets_a_gradient_of_exactly_zero():
    values = VALUES.clone().requires_grad_()
    masked_mean(values, MASK).backward()
    assert values.grad is not None
    torch.testing.assert_close(values.grad, MASK.float() / 3)


def test_a_given_count_makes_the_mean_of_parts_add_up_to_that_of_the_whole():
    values, mask = torch.randn(6, 5), torch.rand(6, 5) > 0.4
    whole = masked_mean(values, mask)
    parts = [masked_mean(values[rows], mask[rows], count=mask.sum()) for rows in (slice(0, 1), slice(1, 6))]
    torch.testing.assert_close(sum(parts), whole)


def test_an_empty_batch_is_refused():
    with pytest.raises(DataError, match="no token"):
        masked_mean(VALUES, torch.zeros_like(MASK))


def test_moments_are_those_of_numpy_on_the_tokens_that_count():
    number, mean, variance = moments(VALUES, MASK)
    kept = np.array([1.0, 2.0, 4.0])
    assert (number, mean) == (3, pytest.approx(kept.mean()))
    assert variance == pytest.approx(kept.var(ddof=1))


def test_a_single_token_has_no_variance():
    with pytest.raises(DataError, match="at least 2 tokens"):
        moments(VALUES[1:], MASK[1:])


def test_moments_of_ranks_combine_to_those_of_the_whole_batch():
    generator = torch.Generator().manual_seed(0)
    # A large common offset shows whether the combination cancels.
    values = torch.randn(7, 9, generator=generator, dtype=torch.float64) + 1e4
    mask = torch.rand(7, 9, generator=generator) > 0.3
    parts = [moments(values[rows], mask[rows]) for rows in (slice(0, 1), slice(1, 4), slice(4, 7))]
    for combined, whole in zip(combine_moments(parts), moments(values, mask), strict=True):
        torch.testing.assert_close(combined, whole.double(), rtol=1e-9, atol=0)


@pytest.mark.parametrize("shift_mean", [True, False])
def test_whitened_values_have_unit_variance_and_the_mean_that_was_asked_for(shift_mean):
    values = torch.randn(8, 6, generator=torch.Generator().manual_seed(1)) * 5 + 3
    mask = torch.rand(8, 6, generator=torch.Generator().manual_seed(2)) > 0.3
    white = whiten(values, mask, shift_mean=shift_mean)
    kept = white[mask].numpy()
    assert kept.var(ddof=1) == pytest.approx(1, abs=1e-5)
    assert kept.mean() == pytest.approx(0 if shift_mean else values[mask].mean().item(), abs=1e-5)
    assert not white[~mask].any()


def test_whitening_by_given_statistics_uses_them():
    white = whiten(VALUES, MASK, statistics=(torch.tensor(2.0), torch.tensor(4.0)), epsilon=0)
    torch.testing.assert_close(white, torch.tensor([[-0.5, 0.0, 0.0], [1.0, 0.0, 0.0]]))


def test_the_last_token_is_the_last_that_counts_also_behind_a_prompt():
    mask = torch.tensor([[True, True, False], [False, True, True], [False, True, False]])
    assert last_index(mask).tolist() == [1, 2, 1]


def test_a_completion_without_tokens_is_named():
    with pytest.raises(DataError, match="completion 1 "):
        last_index(torch.tensor([[True], [False]]))
