import math

import numpy as np
import pytest
import torch

from nines.errors import ConfigError, DataError
from nines.rl.rewards import ScoreScaling, penalise_unfinished, token_rewards


def test_the_score_comes_with_the_last_token_and_the_penalty_with_each():
    kl = torch.tensor([[1.0, 2.0, math.nan], [4.0, -1.0, 0.5]])
    mask = torch.tensor([[True, True, False], [True, True, True]])
    rewards = token_rewards(torch.tensor([10.0, -3.0]), kl, mask, coefficient=0.1)
    torch.testing.assert_close(rewards, torch.tensor([[-0.1, 9.8, 0.0], [-0.4, 0.1, -3.05]]))


def test_rewards_of_a_completion_sum_to_score_minus_penalty():
    kl, mask = torch.randn(5, 7), torch.arange(7) < torch.tensor([[3], [7], [1], [4], [2]])
    scores = torch.randn(5)
    total = token_rewards(scores, kl, mask, coefficient=0.3).sum(dim=1)
    torch.testing.assert_close(total, scores - 0.3 * (kl * mask).sum(dim=1))


def test_a_completion_without_tokens_is_refused():
    with pytest.raises(DataError):
        token_rewards(torch.zeros(1), torch.zeros(1, 2), torch.zeros(1, 2, dtype=torch.bool), coefficient=0.1)


def test_only_unfinished_completions_are_penalised():
    scores = penalise_unfinished(torch.tensor([0.5, 0.9]), torch.tensor([True, False]), penalty=-1.0)
    assert scores.tolist() == [0.5, -1.0]


def test_scores_pass_unchanged_by_default():
    scores = torch.randn(4) * 100
    assert torch.equal(ScoreScaling()(scores), scores)


def test_scaling_divides_by_the_deviation_of_all_scores_so_far():
    batches = [torch.randn(6, generator=torch.Generator().manual_seed(seed)) * 4 + 50 for seed in range(5)]
    scaling = ScoreScaling(scale=True)
    for number, batch in enumerate(batches, start=1):
        scaled = scaling(batch)
        seen = np.concatenate([part.numpy() for part in batches[:number]]).astype(np.float64)
        np.testing.assert_allclose(scaled.numpy(), batch.numpy() / seen.std(ddof=1), rtol=1e-5)


def test_equal_scores_are_not_divided_by_zero():
    assert ScoreScaling(scale=True)(torch.full((3,), 2.0)).tolist() == [2.0] * 3


def test_clipping_comes_after_scaling():
    scaled = ScoreScaling(scale=True, clip=1.0)(torch.tensor([-30.0, 0.0, 30.0, 1.0]))
    assert scaled[0] == -1
    assert scaled[2] == 1
    assert abs(scaled[3]) < 1


def test_a_resumed_scaling_goes_on_as_if_never_stopped():
    first, rest = torch.randn(10), torch.randn(10)
    whole = ScoreScaling(scale=True)
    whole(first)
    resumed = ScoreScaling(scale=True)
    resumed.load_state_dict(whole.state_dict())
    assert torch.equal(resumed(rest), whole(rest))


@pytest.mark.parametrize("clip", [0.0, -1.0, math.inf])
def test_a_senseless_limit_is_refused(clip):
    with pytest.raises(ConfigError, match="clip must be above 0"):
        ScoreScaling(clip=clip)
