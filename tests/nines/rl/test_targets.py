import pytest
import torch

from nines.errors import DataError
from nines.rl.options import PPOOptions
from nines.rl.rollout import Completions, Rollout, take
from nines.rl.targets import advantages_and_returns, leave_one_out, penalised_rewards, worth_imitating


def rollout(lengths: list[int], *, prompts: list[int] | None = None, seed: int = 0) -> Rollout:
    generator = torch.Generator().manual_seed(seed)
    width = max(lengths)
    mask = torch.arange(width) < torch.tensor(lengths).unsqueeze(1)
    count = len(lengths)
    whole = torch.cat([torch.ones(count, 1, dtype=torch.bool), mask], dim=1)
    numbers = torch.tensor(prompts if prompts is not None else list(range(count)))
    completions = Completions(whole.long(), whole, mask, numbers, torch.ones(count, dtype=torch.bool))
    figures = [torch.randn(count, width, generator=generator) for _ in range(3)]
    return Rollout(completions, torch.randn(count, generator=generator), {}, *figures)


def test_the_penalty_uses_the_estimator_that_was_asked_for():
    sampled = rollout([2, 1])
    scores = torch.tensor([3.0, -1.0])
    rewards = penalised_rewards(sampled, scores, PPOOptions(kl_estimator="k2"), coefficient=0.5)
    difference = sampled.log_probs - sampled.reference_log_probs
    expected = -0.25 * difference.square()
    expected[0, 1] += 3.0
    expected[1, 0] -= 1.0
    expected[1, 1] = 0.0
    torch.testing.assert_close(rewards, expected)


def test_whitened_advantages_leave_the_targets_of_the_value_head_alone():
    sampled = rollout([5, 3, 4, 1])
    rewards = penalised_rewards(sampled, sampled.scores, PPOOptions(), coefficient=0.1)
    plain = advantages_and_returns(sampled, rewards, PPOOptions(whiten_advantages="none"))
    white = advantages_and_returns(sampled, rewards, PPOOptions(whiten_advantages="batch"))
    kept = white.advantages[sampled.mask]
    assert kept.mean().item() == pytest.approx(0, abs=1e-6)
    assert kept.var().item() == pytest.approx(1, rel=1e-5)
    assert torch.equal(plain.returns, white.returns)
    minibatch = advantages_and_returns(sampled, rewards, PPOOptions(whiten_advantages="minibatch"))
    assert torch.equal(minibatch.advantages, plain.advantages)


def test_whitened_rewards_keep_their_mean():
    sampled = rollout([6, 6])
    rewards = torch.randn(2, 6, generator=torch.Generator().manual_seed(1)) * 10 + 4
    options = PPOOptions(whiten_rewards=True, whiten_advantages="none", trace_decay=0.0, discount=0.0)
    found = advantages_and_returns(sampled, rewards, options)
    # Without discount and trace the return of a token is its reward.
    assert found.returns.mean().item() == pytest.approx(rewards.mean().item(), rel=1e-4)
    assert found.returns.var().item() == pytest.approx(1, rel=1e-4)


def test_every_token_of_a_completion_has_its_leave_one_out_advantage():
    sampled = rollout([2, 3, 1, 3], prompts=[7, 8, 7, 8])
    rewards = torch.zeros(4, 3)
    rewards[:, 0] = torch.tensor([1.0, 5.0, 4.0, 9.0])
    options = PPOOptions(advantage="leave_one_out", whiten_advantages="none")
    found = advantages_and_returns(sampled, rewards, options)
    expected = torch.tensor([[-3.0, -3, 0], [-4, -4, -4], [3, 0, 0], [4, 4, 4]])
    assert torch.equal(found.advantages, expected)
    assert not found.returns.any()


def test_leave_one_out_knows_siblings_in_any_order():
    scores, prompts = torch.randn(12), torch.arange(4).repeat(3)
    order = torch.randperm(12)
    torch.testing.assert_close(leave_one_out(scores[order], prompts[order]), leave_one_out(scores, prompts)[order])
    with pytest.raises(DataError, match="between 1 and 2 completions"):
        leave_one_out(torch.zeros(3), torch.tensor([0, 0, 1]))


def test_order_of_the_batch_changes_nothing():
    sampled = rollout([4, 2, 3, 1, 4, 2], prompts=[0, 0, 1, 1, 2, 2])
    order = torch.tensor([3, 5, 0, 2, 1, 4])
    for advantage in ("gae", "leave_one_out"):
        options = PPOOptions(advantage=advantage)
        rewards = penalised_rewards(sampled, sampled.scores, options, coefficient=0.2)
        whole = advantages_and_returns(sampled, rewards, options)
        shuffled = advantages_and_returns(take(sampled, order), rewards[order], options)
        torch.testing.assert_close(shuffled.advantages, whole.advantages[order])


def test_rejection_sampling_keeps_the_best_whole_completions_that_are_good_enough():
    scores = torch.tensor([0.1, 0.9, 0.8, 0.2, 0.3, 0.4, 0.95, -5.0])
    prompts = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    finished = torch.tensor([True, True, True, True, True, True, False, True])
    half = worth_imitating(scores, finished, prompts, PPOOptions(method="rejection_sampling", keep_best=0.5))
    assert half.nonzero().flatten().tolist() == [1, 2, 4, 5]
    strict = PPOOptions(method="rejection_sampling", keep_best=0.25, accept_above=0.5)
    assert worth_imitating(scores, finished, prompts, strict).nonzero().flatten().tolist() == [1]
    none = worth_imitating(scores, torch.zeros(8, dtype=torch.bool), prompts, PPOOptions())
    assert not none.any()
