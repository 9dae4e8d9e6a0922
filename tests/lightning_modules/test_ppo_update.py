import math

import pytest
import torch

from lightning_modules.ppo_update import SUMS, UpdateFigures, averages_of, imitation_loss, ppo_loss
from nines.models.actor_critic import TokenFigures
from nines.rl.options import PPOOptions
from nines.rl.rollout import Completions, Rollout, Targets

OLD = torch.log(torch.tensor([[0.5, 0.2], [0.1, 1.0]]))
MASK = torch.tensor([[True, True], [True, False]])


def rollout() -> Rollout:
    completions = Completions(
        tokens=torch.zeros(2, 3, dtype=torch.long),
        mask=torch.ones(2, 3, dtype=torch.bool),
        completion_mask=MASK,
        prompt=torch.tensor([0, 1]),
        finished=torch.tensor([True, True]),
    )
    return Rollout(completions, torch.zeros(2), {}, OLD, OLD, torch.zeros(2, 2))


def figures(ratios: list[list[float]], **more: torch.Tensor) -> TokenFigures:
    return TokenFigures((OLD + torch.log(torch.tensor(ratios))).requires_grad_(), torch.zeros(2, 2), **more)


def test_the_loss_is_that_of_the_paper_worked_by_hand() -> None:
    """Ratios 1.5, 1 and 0.5 with advantages 1, -1 and -1: min gives 1.2 (clipped), -1 and -0.8 (clipped)."""
    options = PPOOptions(advantage="leave_one_out", clip_range=0.2)
    targets = Targets(torch.tensor([[1.0, -1.0], [-1.0, 9.0]]), torch.zeros(2, 2))
    loss, sums = ppo_loss(figures([[1.5, 1.0], [0.5, 7.0]]), rollout(), targets, options, count=3)
    assert float(loss) == pytest.approx(-(1.2 - 1 - 0.8) / 3)
    named = dict(zip(SUMS, sums.tolist(), strict=True))
    assert named["tokens"] == 3
    assert named["policy_loss"] == pytest.approx(0.6)
    assert named["clip_fraction"] == 2
    assert named["ratio"] == pytest.approx(3.0)
    expected = (0.5 - math.log(1.5)) + (-0.5 - math.log(0.5))
    assert named["kl_to_old"] == pytest.approx(expected)
    assert named["value_loss"] == 0  # no value head is asked for


def test_value_loss_and_entropy_enter_with_their_coefficients() -> None:
    options = PPOOptions(value_coefficient=0.5, value_clip_range=None, entropy_coefficient=0.1)
    targets = Targets(torch.zeros(2, 2), torch.tensor([[2.0, 0.0], [1.0, 5.0]]))
    now = figures([[1.0, 1.0], [1.0, 1.0]], entropy=torch.full((2, 2), 0.7))
    loss, sums = ppo_loss(now, rollout(), targets, options, count=3)
    # Half of the mean of 4, 0 and 1 at half weight, less a tenth of the entropy.
    assert float(loss) == pytest.approx(0.5 * 0.5 * 5 / 3 - 0.1 * 0.7)
    assert dict(zip(SUMS, sums.tolist(), strict=True))["value_loss"] == pytest.approx(0.5 * 5)


def test_parts_of_a_minibatch_add_up_to_its_loss() -> None:
    """A count of six is a minibatch of which this pass is half."""
    options = PPOOptions(advantage="leave_one_out")
    targets = Targets(torch.ones(2, 2), torch.zeros(2, 2))
    now = figures([[1.1, 0.9], [1.0, 1.0]])
    whole, part = (float(ppo_loss(now, rollout(), targets, options, count=count)[0]) for count in (3, 6))
    assert part == pytest.approx(whole / 2)


def test_imitation_is_the_cross_entropy_of_the_tokens() -> None:
    loss, sums = imitation_loss(figures([[1.0, 1.0], [1.0, 1.0]]), rollout(), count=3)
    assert float(loss) == pytest.approx(-math.log(0.5 * 0.2 * 0.1) / 3)
    assert averages_of(sums)["policy_loss"] == pytest.approx(float(loss))


def test_figures_of_an_iteration_weigh_minibatches_by_their_tokens() -> None:
    updates = UpdateFigures()
    assert updates.averages() == {}
    first = updates.add(torch.tensor([1.0, 4.0, 0, 0, 0, 1.0, 0], dtype=torch.float64))
    updates.add(torch.tensor([3.0, 0.0, 0, 0, 0, 6.0, 0], dtype=torch.float64))
    assert first["policy_loss"] == 4.0
    assert updates.averages()["policy_loss"] == 1.0
    assert updates.averages()["ratio"] == 7 / 4
    assert updates.first is not None
    assert updates.first["ratio"] == 1.0
    assert updates.updates == 2
