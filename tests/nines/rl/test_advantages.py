import numpy as np
import pytest
import torch

from nines.errors import DataError
from nines.rl.advantages import generalized_advantages, leave_one_out_advantages


def brute_force(rewards, values, *, discount, trace_decay):
    """GAE as the exponentially weighted sum of n-step advantages, from its definition; one completion."""
    length = len(rewards)
    values = np.append(values, 0.0)
    advantages = np.zeros(length)
    for t in range(length):
        n_step = []
        for n in range(1, length - t + 1):
            gain = sum(discount**k * rewards[t + k] for k in range(n)) + discount**n * values[t + n]
            n_step.append(gain - values[t])
        # Beyond the end every n-step advantage equals the last one, which takes the weight that is left.
        weights = [(1 - trace_decay) * trace_decay ** (n - 1) for n in range(1, len(n_step))]
        weights.append(1 - sum(weights))
        advantages[t] = np.dot(weights, n_step)
    return advantages


@pytest.mark.parametrize(("discount", "trace_decay"), [(1.0, 0.95), (0.9, 0.5), (1.0, 0.0), (1.0, 1.0)])
def test_equals_the_weighted_sum_of_n_step_advantages(discount, trace_decay):
    generator = np.random.default_rng(0)
    lengths = [6, 1, 4]
    rewards, values = generator.normal(size=(3, 6)), generator.normal(size=(3, 6))
    mask = np.arange(6) < np.array(lengths)[:, None]
    advantages, returns = generalized_advantages(
        torch.tensor(rewards), torch.tensor(values), torch.tensor(mask), discount=discount, trace_decay=trace_decay
    )
    for row, length in enumerate(lengths):
        expected = brute_force(rewards[row, :length], values[row, :length], discount=discount, trace_decay=trace_decay)
        np.testing.assert_allclose(advantages[row, :length], expected, atol=1e-12)
        np.testing.assert_allclose(returns[row, :length], expected + values[row, :length], atol=1e-12)
        assert not advantages[row, length:].any()
        assert not returns[row, length:].any()


def test_hand_worked_numbers():
    rewards, values = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.5, 0.25]])
    advantages, returns = generalized_advantages(
        rewards, values, torch.ones(1, 2, dtype=torch.bool), discount=1.0, trace_decay=0.5
    )
    # delta_1 = 1 - 0.25 = 0.75; delta_0 = 0.25 - 0.5 = -0.25; A_0 = -0.25 + 0.5 * 0.75
    torch.testing.assert_close(advantages, torch.tensor([[0.125, 0.75]]))
    torch.testing.assert_close(returns, torch.tensor([[0.625, 1.0]]))


def test_padding_on_either_side_changes_nothing():
    rewards, values = torch.randn(2, 4), torch.randn(2, 4)
    whole, _ = generalized_advantages(rewards, values, torch.ones(2, 4, dtype=torch.bool))
    wide = torch.full((2, 2), torch.nan)
    mask = torch.tensor([[False, False, True, True, True, True, False, False]] * 2)
    padded, _ = generalized_advantages(
        torch.cat([wide, rewards, wide], dim=1), torch.cat([wide, values, wide], dim=1), mask
    )
    torch.testing.assert_close(padded[:, 2:6], whole)


def test_a_perfect_value_head_leaves_no_advantage():
    rewards = torch.tensor([[0.0, 0.0, 1.0]])
    advantages, returns = generalized_advantages(rewards, torch.ones(1, 3), torch.ones(1, 3, dtype=torch.bool))
    assert not advantages.any()
    assert returns.tolist() == [[1.0, 1.0, 1.0]]


def test_leave_one_out_subtracts_the_mean_of_the_siblings():
    scores = torch.tensor([[1.0, 2.0, 6.0]])
    torch.testing.assert_close(leave_one_out_advantages(scores), torch.tensor([[-3.0, -1.5, 4.5]]))


def test_leave_one_out_is_unbiased_where_a_shared_baseline_with_itself_is_not():
    # E[A_i · score_i] must be the variance of a score; with the plain mean it would be (k-1)/k of it.
    scores = torch.randn(200_000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    advantages = leave_one_out_advantages(scores)
    assert (advantages * scores).mean().item() == pytest.approx(1.0, abs=0.02)


def test_one_completion_has_no_siblings():
    with pytest.raises(DataError, match="at least 2"):
        leave_one_out_advantages(torch.zeros(3, 1))
