import math

import numpy as np
import pytest
import torch
from sklearn.metrics import explained_variance_score

from nines.errors import DataError
from nines.rl.losses import explained_variance, policy_loss, value_loss

MASK = torch.tensor([[True, True, True, False]])


def test_policy_loss_follows_hand_worked_numbers():
    ratio = torch.tensor([[1.5, 0.5, 1.1, 1.0]])
    advantages = torch.tensor([[2.0, -1.0, -3.0, 99.0]])
    result = policy_loss(ratio.log(), torch.zeros(1, 4), advantages, MASK, clip_range=0.2)
    # min(3.0, 2.4), min(-0.5, -0.8), min(-3.3, -3.3): 2.4, -0.8, -3.3
    assert result.loss.item() == pytest.approx(-(2.4 - 0.8 - 3.3) / 3, rel=1e-6)
    assert result.clip_fraction.item() == pytest.approx(2 / 3)
    assert result.ratio.item() == pytest.approx((1.5 + 0.5 + 1.1) / 3)
    expected = np.mean([value - 1 - math.log(value) for value in (1.5, 0.5, 1.1)])
    assert result.kl_to_old.item() == pytest.approx(expected, rel=1e-5)


def test_before_the_first_update_the_ratio_is_exactly_one_and_the_gradient_is_the_policy_gradient():
    log_probs = torch.randn(3, 4).requires_grad_()
    advantages, mask = torch.randn(3, 4), torch.rand(3, 4) > 0.3
    result = policy_loss(log_probs, log_probs.detach(), advantages, mask)
    assert result.ratio.item() == 1.0
    assert result.clip_fraction.item() == 0.0
    result.loss.backward()
    assert log_probs.grad is not None
    torch.testing.assert_close(log_probs.grad, -(advantages * mask) / mask.sum())


def test_policy_gradient_agrees_with_finite_differences():
    generator = torch.Generator().manual_seed(3)
    log_probs = torch.randn(2, 3, generator=generator, dtype=torch.float64) * 0.3
    old = torch.randn(2, 3, generator=generator, dtype=torch.float64) * 0.3
    advantages = torch.randn(2, 3, generator=generator, dtype=torch.float64)
    mask = torch.tensor([[True, True, False], [True, True, True]])
    torch.autograd.gradcheck(
        lambda values: policy_loss(values, old, advantages, mask).loss, log_probs.requires_grad_(), atol=1e-6
    )


def test_clipped_tokens_have_no_gradient():
    ratio = torch.tensor([[1.5, 0.5, 1.5]])
    log_probs = ratio.log().requires_grad_()
    advantages = torch.tensor([[1.0, -1.0, -1.0]])  # only the last one may still be pushed back
    policy_loss(log_probs, torch.zeros(1, 3), advantages, torch.ones(1, 3, dtype=torch.bool)).loss.backward()
    assert log_probs.grad is not None
    assert log_probs.grad[0, :2].tolist() == [0.0, 0.0]
    assert log_probs.grad[0, 2].item() == pytest.approx(1.5 / 3)


@pytest.mark.parametrize("padding", [0.0, 1e30, math.inf, math.nan])
def test_padding_and_its_width_change_neither_loss_nor_gradient(padding):
    generator = torch.Generator().manual_seed(4)
    log_probs, old, advantages = (torch.randn(2, 3, generator=generator) for _ in range(3))
    full = torch.ones(2, 3, dtype=torch.bool)
    narrow = log_probs.clone().requires_grad_()
    expected = policy_loss(narrow, old, advantages, full).loss
    expected.backward()
    wide = torch.cat([log_probs, torch.full((2, 2), padding)], dim=1).requires_grad_()
    zeros = torch.zeros(2, 2)
    mask = torch.cat([full, torch.zeros(2, 2, dtype=torch.bool)], dim=1)
    loss = policy_loss(wide, torch.cat([old, zeros], dim=1), torch.cat([advantages, zeros], dim=1), mask).loss
    loss.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert wide.grad is not None
    assert narrow.grad is not None
    torch.testing.assert_close(wide.grad[:, :3], narrow.grad)
    assert not wide.grad[:, 3:].any()


def test_with_a_global_count_minibatches_add_up_to_the_whole_batch():
    log_probs, old, advantages = torch.randn(6, 4), torch.randn(6, 4), torch.randn(6, 4)
    mask = torch.arange(4) < torch.tensor([[1], [4], [2], [3], [4], [1]])
    whole = policy_loss(log_probs, old, advantages, mask).loss
    count = mask.sum()
    parts = sum(
        policy_loss(log_probs[rows], old[rows], advantages[rows], mask[rows], count=count).loss
        for rows in (slice(0, 2), slice(2, 3), slice(3, 6))
    )
    torch.testing.assert_close(parts, whole)


def test_value_loss_follows_hand_worked_numbers():
    values, old = torch.tensor([[1.0, 0.0, 2.0, 7.0]]), torch.tensor([[0.0, 0.0, 2.1, 7.0]])
    returns = torch.tensor([[2.0, 1.0, 2.0, 0.0]])
    result = value_loss(values, old, returns, MASK, clip_range=0.2)
    # Near the old value: 0.2, 0, 2.0; errors squared: (1 | 3.24), (1 | 1), (0 | 0)
    assert result.loss.item() == pytest.approx(0.5 * (3.24 + 1 + 0) / 3)
    assert result.clip_fraction.item() == pytest.approx(1 / 3)


def test_unclipped_value_loss_is_half_the_mean_squared_error():
    values, returns = torch.randn(4, 5), torch.randn(4, 5)
    mask = torch.ones(4, 5, dtype=torch.bool)
    result = value_loss(values, torch.zeros(4, 5), returns, mask, clip_range=None)
    torch.testing.assert_close(result.loss, 0.5 * torch.nn.functional.mse_loss(values, returns))


def test_explained_variance_is_that_of_scikit_learn():
    values, returns = torch.randn(3, 8), torch.randn(3, 8)
    mask = torch.rand(3, 8, generator=torch.Generator().manual_seed(5)) > 0.4
    expected = explained_variance_score(returns[mask].numpy(), values[mask].numpy())
    assert explained_variance(values, returns, mask).item() == pytest.approx(expected, rel=1e-5)


def test_constant_returns_leave_nothing_to_explain():
    mask = torch.ones(1, 3, dtype=torch.bool)
    assert explained_variance(torch.randn(1, 3), torch.ones(1, 3), mask).item() == 0
    with pytest.raises(DataError, match="at least 2"):
        explained_variance(torch.zeros(1, 1), torch.zeros(1, 1), torch.ones(1, 1, dtype=torch.bool))
