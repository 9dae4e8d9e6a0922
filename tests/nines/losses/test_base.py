"""What must hold for every loss, and the parts that they share."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from nines.errors import DataError
from nines.losses.asymmetric import AsymmetricLoss
from nines.losses.base import BinaryLoss, ClassCounts, unit_mean_weights
from nines.losses.effective_number import EffectiveNumberLoss
from nines.losses.focal import FocalLoss
from nines.losses.inverse_frequency import InverseFrequencyLoss
from nines.losses.ldam import LDAMLoss
from nines.losses.logit_adjustment import LogitAdjustmentLoss
from nines.losses.none import PlainLoss
from nines.losses.partial_auc import PartialAUCLoss
from nines.losses.threshold_moving import ThresholdMovingLoss

COUNTS = ClassCounts(40, 960)
LOSSES: dict[str, Callable[[], BinaryLoss]] = {
    "none": PlainLoss,
    "inverse_frequency": InverseFrequencyLoss,
    "effective_number": EffectiveNumberLoss,
    "focal": FocalLoss,
    "focal with alpha": lambda: FocalLoss(gamma=1.5, alpha=0.75),
    "asymmetric": AsymmetricLoss,
    "asymmetric without margin": lambda: AsymmetricLoss(gamma_positive=0.5, gamma_negative=2.5, margin=0.0),
    "logit_adjustment": LogitAdjustmentLoss,
    "ldam": LDAMLoss,
    "ldam with re-weighting": lambda: LDAMLoss(defer_until=0.0, scale=3.0),
    "partial_auc": lambda: PartialAUCLoss(max_false_positive_rate=0.3),
    "threshold_moving": ThresholdMovingLoss,
}
every_loss = pytest.mark.parametrize("name", LOSSES)


def prepared(name: str) -> BinaryLoss:
    loss = LOSSES[name]()
    loss.prepare(COUNTS)
    return loss


def batch(rows: int = 17, *, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, partly soft targets and uneven weights, in float64."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(rows, generator=generator, dtype=torch.float64)
    targets = (torch.rand(rows, generator=generator, dtype=torch.float64) < 0.4).double()
    targets[0], targets[1] = 0.3, 0.85
    weights = 2 * torch.rand(rows, generator=generator, dtype=torch.float64)
    weights[2] = 0.0
    return logits, targets, weights


@every_loss
def test_gradient_equals_finite_differences(name: str) -> None:
    logits, targets, weights = batch()
    loss = prepared(name)
    assert torch.autograd.gradcheck(lambda x: loss(x, targets, weights), logits.requires_grad_())


@every_loss
def test_order_of_rows_does_not_matter(name: str) -> None:
    logits, targets, weights = batch()
    order = torch.randperm(len(logits), generator=torch.Generator().manual_seed(1))
    loss = prepared(name)
    assert loss(logits[order], targets[order], weights[order]).item() == pytest.approx(
        loss(logits, targets, weights).item(), rel=1e-12
    )


@every_loss
@pytest.mark.parametrize("size", [40.0, 1e4, 1e30])
@pytest.mark.parametrize("target", [0.0, 0.5, 1.0])
def test_extreme_logits_give_finite_loss_and_gradient(name: str, size: float, target: float) -> None:
    logits = torch.tensor([size, -size, 0.0], requires_grad=True)
    loss = prepared(name)(logits, torch.full((3,), target))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


@every_loss
def test_infinitely_sure_and_right_costs_nothing(name: str) -> None:
    """Except for the margin of LDAM and the shifts, which vanish against the logit as well."""
    loss = prepared(name)(torch.tensor([1e4, -1e4]), torch.tensor([1.0, 0.0]))
    assert loss.item() == pytest.approx(0.0, abs=1e-6)


@every_loss
def test_rows_of_one_class_still_have_a_gradient(name: str) -> None:
    for target in (0.0, 1.0):
        logits = torch.tensor([0.3, -0.2, 0.1], requires_grad=True)
        prepared(name)(logits, torch.full((3,), target)).backward()
        assert logits.grad.abs().sum() > 0
        assert torch.isfinite(logits.grad).all()


@every_loss
def test_bf16_logits_under_autocast_are_computed_in_float32(name: str) -> None:
    logits, targets, weights = batch()
    coarse = logits.bfloat16()
    loss = prepared(name)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under_autocast = loss(coarse, targets.float(), weights.float())
    assert under_autocast.dtype == torch.float32
    expected = loss(coarse.double(), targets, weights)
    assert under_autocast.item() == pytest.approx(expected.item(), rel=1e-5)


@every_loss
def test_no_weights_means_weights_of_one(name: str) -> None:
    logits, targets, _ = batch()
    loss = prepared(name)
    assert torch.equal(loss(logits, targets), loss(logits, targets, torch.ones_like(logits)))


@every_loss
def test_a_row_of_weight_zero_changes_nothing_but_the_number_of_rows(name: str) -> None:
    logits, targets, weights = batch()
    weights[5] = 0.0
    loss = prepared(name)
    before = loss(logits, targets, weights)
    logits[5] += 100.0
    assert loss(logits, targets, weights).item() == pytest.approx(before.item(), rel=1e-12)


@every_loss
def test_higher_logit_never_costs_a_positive_row_more(name: str) -> None:
    loss = prepared(name)
    grid = torch.linspace(-12, 12, 97)
    costs = torch.stack([loss(torch.stack([x, torch.tensor(0.0)]), torch.tensor([1.0, 0.0])) for x in grid])
    assert (costs.diff() <= 1e-7).all()


@every_loss
def test_checkpoint_brings_the_same_loss_back(name: str) -> None:
    logits, targets, weights = batch()
    saved = prepared(name)
    saved.begin_epoch(9, 10)
    loaded = LOSSES[name]()
    loaded.load_state_dict(saved.state_dict())
    assert torch.equal(loaded(logits, targets, weights), saved(logits, targets, weights))
    assert torch.equal(loaded.adjust(logits), saved.adjust(logits))


@every_loss
def test_loading_after_use_replaces_the_class_counts(name: str) -> None:
    logits, targets, weights = batch()
    used = prepared(name)
    used(logits, targets, weights)
    other = LOSSES[name]()
    other.prepare(ClassCounts(500, 500))
    used.load_state_dict(other.state_dict())
    assert torch.equal(used(logits, targets, weights), other(logits, targets, weights))


@every_loss
def test_shapes_that_differ_are_refused(name: str) -> None:
    loss = prepared(name)
    with pytest.raises(ValueError, match=r"must all be \(batch,\)"):
        loss(torch.zeros(3), torch.zeros(4))
    with pytest.raises(ValueError, match=r"must all be \(batch,\)"):
        loss(torch.zeros(3, 1), torch.zeros(3, 1))
    with pytest.raises(ValueError, match=r"must all be \(batch,\)"):
        loss(torch.zeros(3), torch.zeros(3), torch.ones(1))


@pytest.mark.parametrize(
    "loss", [InverseFrequencyLoss(), EffectiveNumberLoss(), LDAMLoss(), LogitAdjustmentLoss(), ThresholdMovingLoss()]
)
def test_a_mixture_of_one_class_is_refused_where_a_weight_would_be_infinite(loss: BinaryLoss) -> None:
    with pytest.raises(DataError, match="no injurious row"):
        loss.prepare(ClassCounts(0, 10))
    with pytest.raises(DataError, match="no safe row"):
        loss.prepare(ClassCounts(10, 0))


def test_a_loss_that_needs_counts_says_so_when_it_was_not_prepared() -> None:
    with pytest.raises(RuntimeError, match="prepare"):
        LogitAdjustmentLoss()(torch.zeros(2), torch.ones(2))


def test_plain_loss_equals_scikit_learn_with_weights_of_mean_one() -> None:
    logits, _, weights = batch(200, seed=3)
    labels = (torch.rand(200, generator=torch.Generator().manual_seed(4)) < 0.3).double()
    weights *= len(weights) / weights.sum()
    expected = log_loss(labels.numpy(), torch.sigmoid(logits).numpy(), sample_weight=weights.numpy())
    assert PlainLoss()(logits, labels, weights).item() == pytest.approx(expected, rel=1e-10)


def test_batches_average_to_the_loss_of_all_rows() -> None:
    """So neither ranks nor accumulation change the gradient, which dividing by a batch's weights would."""
    logits, targets, weights = batch(24)
    loss = PlainLoss()
    parts = [loss(logits[i : i + 8], targets[i : i + 8], weights[i : i + 8]).item() for i in (0, 8, 16)]
    assert np.mean(parts) == pytest.approx(loss(logits, targets, weights).item(), rel=1e-12)


def test_class_counts_know_prior_and_log_odds() -> None:
    counts = ClassCounts(20, 80)
    assert counts.total == 100
    assert counts.prior == pytest.approx(0.2)
    assert counts.log_odds == pytest.approx(math.log(0.25))
    assert ClassCounts(0, 3).log_odds == -math.inf
    assert ClassCounts(3, 0).log_odds == math.inf


@pytest.mark.parametrize(("positives", "negatives"), [(-1, 5), (5, -1), (math.nan, 5), (5, math.inf), (0, 0)])
def test_impossible_class_counts_are_refused(positives: float, negatives: float) -> None:
    with pytest.raises(DataError, match="training mixture"):
        ClassCounts(positives, negatives)


amounts = st.floats(min_value=0.5, max_value=1e6)


@settings(max_examples=50, deadline=None)
@given(positives=amounts, negatives=amounts, first=amounts, second=amounts)
def test_class_weights_have_mean_one_over_the_mixture_and_keep_their_ratio(
    positives: float, negatives: float, first: float, second: float
) -> None:
    counts = ClassCounts(positives, negatives)
    positive, negative = unit_mean_weights(counts, positive=first, negative=second)
    assert counts.prior * positive + (1 - counts.prior) * negative == pytest.approx(1.0)
    assert positive / negative == pytest.approx(first / second)
