"""LDAM: margins by hand, the two-class softmax form, and the deferral of the weights."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from nines.errors import ConfigError
from nines.losses.base import ClassCounts
from nines.losses.effective_number import effective_number_weights
from nines.losses.ldam import LDAMLoss
from nines.losses.none import PlainLoss


def test_margins_worked_by_hand() -> None:
    # 16^(1/4) = 2 and 625^(1/4) = 5: the frequent class has 2/5 of the rarer one's margin.
    loss = LDAMLoss(max_margin=0.5)
    loss.prepare(ClassCounts(16, 625))
    assert loss.margins() == pytest.approx((0.5, 0.2))
    loss.prepare(ClassCounts(625, 16))
    assert loss.margins() == pytest.approx((0.2, 0.5))


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_equals_the_softmax_form_with_margins_on_the_true_class(scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(30, generator=generator, dtype=torch.float64)
    labels = torch.arange(30) % 2
    loss = LDAMLoss(max_margin=0.5, scale=scale)
    loss.prepare(ClassCounts(16, 625))
    two_classes = torch.stack([-logits / 2, logits / 2], dim=1)
    margins = torch.tensor([0.2, 0.5], dtype=torch.float64)[labels]
    two_classes[torch.arange(30), labels] -= margins
    expected = cross_entropy(scale * two_classes, labels)
    assert loss(logits, labels.double()).item() == pytest.approx(expected.item(), rel=1e-9)


def test_a_vanishing_margin_is_the_plain_loss() -> None:
    logits, targets = torch.tensor([0.4, -1.0, 2.0]), torch.tensor([1.0, 0.0, 0.3])
    loss = LDAMLoss(max_margin=1e-9)
    loss.prepare(ClassCounts(5, 95))
    assert loss(logits, targets).item() == pytest.approx(PlainLoss()(logits, targets).item(), rel=1e-6)


@pytest.mark.parametrize(
    ("defer_until", "max_epochs", "first"),
    [(0.8, 10, 8), (0.8, 5, 4), (0.8, 3, 2), (0.8, 2, 1), (0.8, 1, 1), (0.0, 4, 0), (1.0, 4, 4), (0.1, 4, 1)],
)
def test_weights_set_in_at_the_deferred_epoch(defer_until: float, max_epochs: int, first: int) -> None:
    loss = LDAMLoss(defer_until=defer_until)
    on = []
    for epoch in range(max_epochs):
        loss.begin_epoch(epoch, max_epochs)
        on.append(bool(loss.reweighting))
    assert on == [epoch >= first for epoch in range(max_epochs)]


def test_deferred_weights_are_effective_number_weights() -> None:
    counts = ClassCounts(16, 625)
    loss = LDAMLoss(defer_until=0.5, beta=0.99)
    loss.prepare(counts)
    logits = torch.tensor([0.3], dtype=torch.float64)
    positive, negative = effective_number_weights(counts, beta=0.99)
    loss.begin_epoch(0, 2)
    early = [loss(logits, torch.tensor([target])).item() for target in (1.0, 0.0)]
    loss.begin_epoch(1, 2)
    late = [loss(logits, torch.tensor([target])).item() for target in (1.0, 0.0)]
    assert late == pytest.approx([positive * early[0], negative * early[1]])


def test_checkpoint_of_the_middle_of_an_epoch_keeps_the_weights_on() -> None:
    saved = LDAMLoss()
    saved.begin_epoch(9, 10)
    loaded = LDAMLoss()
    loaded.load_state_dict(saved.state_dict())
    assert bool(loaded.reweighting)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"max_margin": 0.0}, "max_margin"),
        ({"scale": -1.0}, "scale"),
        ({"defer_until": 1.1}, "defer_until"),
        ({"beta": 1.0}, "beta"),
        ({"max_margin": math.nan}, "max_margin"),
    ],
)
def test_values_out_of_range_are_refused(arguments: dict[str, float], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        LDAMLoss(**arguments)
