"""The partial AUC surrogate against loops over pairs, and against scikit-learn's partial AUC as what it stands for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from nines.errors import ConfigError
from nines.losses.none import PlainLoss
from nines.losses.partial_auc import PartialAUCLoss, hardest_share


def pairs_by_hand(logits: np.ndarray, targets: np.ndarray, weights: np.ndarray, *, rate: float) -> float:
    """Fill `rate` of the negative mass from the top, row by row, then average over all pairs."""
    negative_mass = weights * (1 - targets)
    left = rate * negative_mass.sum()
    taken = np.zeros_like(logits)
    for row in np.argsort(-logits):
        taken[row] = min(left, negative_mass[row])
        left -= taken[row]
    total = sum(
        weights[i] * targets[i] * taken[j] * math.log1p(math.exp(logits[j] - logits[i]))
        for i in range(len(logits))
        for j in range(len(logits))
    )
    return total / ((weights * targets).sum() * taken.sum())


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.37, 1.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equals_a_loop_over_pairs(rate: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    logits, targets, weights = random.normal(size=25), (random.random(25) < 0.3).astype(float), random.random(25) * 2
    targets[:3] = [1.0, 0.25, 0.0]
    loss = PartialAUCLoss(max_false_positive_rate=rate, cross_entropy_share=0.2)
    tensors = [torch.from_numpy(array) for array in (logits, targets, weights)]
    expected = 0.8 * pairs_by_hand(logits, targets, weights, rate=rate) + 0.2 * PlainLoss()(*tensors).item()
    assert loss(*tensors).item() == pytest.approx(expected, rel=1e-10)


def test_four_rows_worked_by_hand() -> None:
    # One positive at 0, negatives at 0, -5 and -9, half of the negatives: all of 0 and half of -5.
    logits = torch.tensor([0.0, 0.0, -5.0, -9.0], dtype=torch.float64)
    loss = PartialAUCLoss(max_false_positive_rate=0.5, cross_entropy_share=0.5)
    ranking = (math.log(2) + 0.5 * math.log1p(math.exp(-5))) / 1.5
    rows = (2 * math.log(2) + math.log1p(math.exp(-5)) + math.log1p(math.exp(-9))) / 4
    assert loss(logits, torch.tensor([1.0, 0.0, 0.0, 0.0])).item() == pytest.approx(0.5 * ranking + 0.5 * rows)


def test_easy_negatives_get_no_gradient_from_the_pairs() -> None:
    logits = torch.tensor([1.0, 2.0, 0.5, -1.0, -2.0], dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    share = 0.25
    PartialAUCLoss(max_false_positive_rate=0.25, cross_entropy_share=share)(logits, targets).backward()
    plain = logits.detach().requires_grad_()
    (share * PlainLoss()(plain, targets)).backward()
    from_pairs = logits.grad - plain.grad
    assert from_pairs[2:].numpy() == pytest.approx(np.zeros(3), abs=1e-15)
    assert from_pairs[0] < 0 < from_pairs[1]


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_a_batch_of_one_class_falls_back_to_its_share_of_cross_entropy(target: float) -> None:
    logits = torch.tensor([0.5, -1.0, 2.0], requires_grad=True)
    targets = torch.full((3,), target)
    loss = PartialAUCLoss(cross_entropy_share=0.3)(logits, targets)
    loss.backward()
    assert loss.item() == pytest.approx(0.3 * PlainLoss()(logits, targets).item(), rel=1e-6)
    assert (logits.grad != 0).all()


def test_a_batch_of_weight_zero_has_loss_zero_and_no_nan() -> None:
    logits = torch.tensor([0.5, -1.0], requires_grad=True)
    loss = PartialAUCLoss()(logits, torch.tensor([1.0, 0.0]), torch.zeros(2))
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(logits.grad, torch.zeros(2))


def test_equal_logits_share_the_edge_evenly() -> None:
    share = hardest_share(torch.tensor([1.0, 1.0, 1.0, 0.0]), torch.ones(4), rate=0.25)
    assert share.tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0.0])


def test_whole_range_is_the_auc_surrogate_over_all_pairs() -> None:
    random = np.random.default_rng(5)
    positives, negatives = random.normal(1, 1, 6), random.normal(0, 1, 11)
    logits = torch.from_numpy(np.concatenate([positives, negatives]))
    targets = torch.tensor([1.0] * 6 + [0.0] * 11, dtype=torch.float64)
    mean = np.mean([[math.log1p(math.exp(n - p)) for n in negatives] for p in positives])
    loss = PartialAUCLoss(max_false_positive_rate=1.0, cross_entropy_share=1e-9)
    assert loss(logits, targets).item() == pytest.approx(mean, rel=1e-6)


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.33, 1.0])
def test_with_a_step_in_place_of_the_surrogate_it_is_scikit_learns_partial_auc(rate: float) -> None:
    random = np.random.default_rng(7)
    labels = (random.random(300) < 0.3).astype(float)
    scores = random.normal(1.5 * labels)
    positives = labels / labels.sum()
    negatives = hardest_share(torch.from_numpy(scores), torch.from_numpy(1 - labels), rate=rate).numpy()
    misranked = positives @ (scores[None, :] > scores[:, None]) @ negatives
    standardised = roc_auc_score(labels, scores, max_fpr=rate if rate < 1 else None)
    lowest = rate**2 / 2  # McClish 1989: 0.5 stands for the area of guessing, 1 for the whole area
    area = lowest + (2 * standardised - 1) * (rate - lowest) if rate < 1 else standardised
    assert 1 - misranked == pytest.approx(area / rate, rel=1e-9)


masses = st.lists(st.tuples(st.integers(-3, 3), st.floats(0.01, 5)), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(rows=masses, rate=st.floats(0.01, 1.0))
def test_hardest_share_takes_the_stated_mass_from_the_top(rows: list[tuple[int, float]], rate: float) -> None:
    logits = torch.tensor([row[0] for row in rows], dtype=torch.float64)
    mass = torch.tensor([row[1] for row in rows], dtype=torch.float64)
    taken = hardest_share(logits, mass, rate=rate) * rate * mass.sum()
    assert taken.sum().item() == pytest.approx(rate * mass.sum().item())
    assert (taken <= mass * (1 + 1e-9)).all()
    lowest = logits[taken > 1e-12].min()
    above = logits > lowest
    assert taken[above].numpy() == pytest.approx(mass[above].numpy())


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"max_false_positive_rate": 0.0}, "max_false_positive_rate"),
        ({"max_false_positive_rate": 1.1}, "max_false_positive_rate"),
        ({"cross_entropy_share": 0.0}, "no gradient"),
        ({"cross_entropy_share": 1.5}, "cross_entropy_share"),
    ],
)
def test_values_out_of_range_are_refused(arguments: dict[str, float], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        PartialAUCLoss(**arguments)
