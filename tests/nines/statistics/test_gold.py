from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from nines.statistics.gold import gold_results, labellers_to_leave_out
from nines.statistics.readings import Readings


def made(accuracies: list[float], *, gold_items: int, seed: int = 0) -> tuple[Readings, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = (rng.random(gold_items) < 0.5).astype(int)
    right = rng.random((gold_items, len(accuracies))) < accuracies
    return Readings.of_table(np.where(right, truth[:, None], 1 - truth[:, None])), truth


def test_accuracy_comes_with_the_exact_interval_of_all_labellers_together() -> None:
    readings = Readings.of_table([[1, 0], [1, 1], [0, 0], [0, -1], [1, 1]])
    first, second = gold_results(readings, [1, 1, 1, 0, -1])
    expected = stats.binomtest(3, 4).proportion_ci(confidence_level=0.975, method="exact")
    assert first.accuracy is not None
    assert (first.accuracy.estimate, first.accuracy.items) == (0.75, 4)
    assert (first.accuracy.lower, first.accuracy.upper) == pytest.approx((expected.low, expected.high))
    assert second.by_class[0] is None
    assert second.by_class[1] is not None
    assert second.by_class[1].estimate == pytest.approx(1 / 3)


def test_only_a_labeller_who_is_surely_below_is_left_out() -> None:
    readings, truth = made([0.95, 0.6, 0.85], gold_items=200)
    results = gold_results(readings, truth)
    assert [result.verdict(0.85) for result in results] == ["above", "below", "open"]
    assert labellers_to_leave_out(results, required=0.85) == [1]


def test_of_many_good_labellers_hardly_one_is_left_out_by_chance() -> None:
    left_out = 0
    for seed in range(50):
        readings, truth = made([0.85] * 10, gold_items=60, seed=seed)
        left_out += bool(labellers_to_leave_out(gold_results(readings, truth), required=0.85))
    assert stats.binom.sf(left_out - 1, 50, 0.05) > 0.001


def test_a_labeller_without_gold_items_is_open() -> None:
    (result,) = gold_results(Readings.of_table([[1]]), [-1])
    assert (result.accuracy, result.verdict(0.9)) == (None, "open")


def test_gold_of_another_length_or_class_is_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        gold_results(Readings.of_table([[1]]), [1, 1])
    with pytest.raises(ValueError, match="class below 2"):
        gold_results(Readings.of_table([[1]]), [2])
