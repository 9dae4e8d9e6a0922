import pytest
import torch

from lightning_modules.policy_sampling import Sampled, as_completions
from lightning_modules.ppo_figures import completion_kl, rollout_figures
from lightning_modules.ppo_update import SUMS, UpdateFigures, imitation_loss, ppo_loss
from nines.models.actor_critic import TokenFigures
from nines.rl.options import PPOOptions
from nines.rl.rollout import Rollout, Targets, take

SAMPLED = [
    Sampled(7, (5,), (8, 9), "one two", finished=True, score=1.0, parts={"a": 2.0}, accepted=True),
    Sampled(3, (5, 6, 7), (4,), "three", finished=False, score=-1.0, parts={"a": 0.0}, accepted=False),
]


def rollout() -> Rollout:
    completions = as_completions(SAMPLED, padding=0, device=torch.device("cpu"))
    log_probs, reference = torch.tensor([[-1.0, -2.0], [-3.0, 77.0]]), torch.tensor([[-1.5, -1.0], [-5.0, 0.0]])
    scores, values = torch.tensor([1.0, -1.0]), torch.tensor([[0.5, 0.5], [0.5, 9.0]])
    return Rollout(completions, scores, {"a": torch.tensor([2.0, 0.0])}, log_probs, reference, values)


def test_completions_are_padded_on_both_sides():
    completions = rollout().completions
    assert completions.tokens.tolist() == [[0, 0, 5, 8, 9], [5, 6, 7, 4, 0]]
    assert completions.completion_mask.tolist() == [[True, True], [True, False]]
    assert completions.prompt.tolist() == [7, 3]
    assert completions.finished.tolist() == [True, False]


def test_figures_follow_hand_worked_numbers():
    whole = rollout()
    assert completion_kl(whole).tolist() == [-0.5, 2.0]
    returns = torch.tensor([[1.5, 0.5], [0.5, 0.0]])
    entropy = torch.tensor([[1.0, 2.0], [6.0, 99.0]])
    found = rollout_figures(SAMPLED, whole, Targets(returns, returns), entropy, coefficient=0.1)
    assert found["score"] == 0
    assert found["kl"] == 0.75
    assert found["penalised_score"] == pytest.approx(-0.075)
    assert found["entropy"] == 3
    assert found["length"] == 1.5
    assert found["finished"] == 0.5
    assert found["reward/a"] == 1
    assert found["accepted"] == 0.5
    assert found["tries"] == 2
    # Returns minus values: 1, 0, 0, whose variance is that of the returns.
    assert found["explained_variance"] == pytest.approx(0)


@pytest.mark.parametrize("options", [PPOOptions(entropy_coefficient=0.1), PPOOptions(advantage="leave_one_out")])
def test_passes_add_up_to_the_loss_and_the_figures_of_the_minibatch(options):
    whole, generator = rollout(), torch.Generator().manual_seed(1)
    draw = [torch.randn(2, 2, generator=generator) for _ in range(5)]
    targets = Targets(draw[0], draw[1])

    def figures(rows: slice) -> TokenFigures:
        return TokenFigures(whole.log_probs[rows] + draw[2][rows] / 10, draw[3][rows], draw[4][rows].abs())

    loss, sums = ppo_loss(figures(slice(0, 2)), whole, targets, options, count=3.0)
    parts = [
        ppo_loss(figures(slice(i, i + 1)), take(whole, rows), take(targets, rows), options, count=3.0)
        for i in range(2)
        for rows in [torch.tensor([i])]
    ]
    torch.testing.assert_close(sum(part[0] for part in parts), loss)
    torch.testing.assert_close(sum(part[1] for part in parts), sums)
    assert sums[0] == 3


def test_imitation_is_the_mean_cross_entropy():
    whole = rollout()
    loss, sums = imitation_loss(TokenFigures(whole.log_probs, whole.values), whole, count=3.0)
    assert loss.item() == 2.0
    assert sums.tolist() == [3.0, 6.0, *[0.0] * (len(SUMS) - 2)]


def test_updates_are_averaged_over_their_tokens():
    updates = UpdateFigures()
    assert updates.averages() == {}
    first = updates.add(torch.tensor([2.0, 4.0, 0, 0, 0, 2.0, 0], dtype=torch.float64))
    updates.add(torch.tensor([6.0, 4.0, 0, 0, 0, 9.0, 0], dtype=torch.float64))
    assert first["policy_loss"] == 2.0
    assert updates.first == first
    assert updates.averages()["policy_loss"] == 1.0
    assert updates.averages()["ratio"] == 11 / 8
    assert updates.updates == 2
