from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from datamodules.labelling import Labelling, error_rates, labelled_targets, readings_of
from nines.errors import ConfigError

IDS = [f"row{number}" for number in range(4000)]
TARGETS: NDArray[np.float32] = (np.arange(4000) % 4 == 0).astype(np.float32)
TARGETS[:10] = -1.0
TARGETS[10:20] = 0.5


def test_by_default_every_label_is_as_it_is() -> None:
    np.testing.assert_array_equal(labelled_targets(TARGETS, IDS, Labelling()), TARGETS)


def test_a_larger_budget_buys_the_rows_of_the_smaller_one_and_more() -> None:
    small, large = (labelled_targets(TARGETS, IDS, Labelling(budget=budget, seed=3)) >= 0 for budget in (100, 300))
    assert (small.sum(), large.sum()) == (100, 300)
    assert (large | ~small).all()
    assert (labelled_targets(TARGETS, IDS, Labelling(budget=100, seed=4)) >= 0).tolist() != small.tolist()


def test_a_row_costs_a_label_for_each_reading() -> None:
    bought = labelled_targets(TARGETS, IDS, Labelling(budget=302, readings=3))
    assert (bought >= 0).sum() == 100


def test_each_class_is_flipped_at_its_rate() -> None:
    seen = labelled_targets(TARGETS, IDS, Labelling(readings=1, missed=0.3, false_alarms=0.05, seed=1))
    injurious, safe = TARGETS == 1, TARGETS == 0
    assert np.mean(seen[injurious] == 0) == pytest.approx(0.3, abs=0.05)
    assert np.mean(seen[safe] == 1) == pytest.approx(0.05, abs=0.015)
    np.testing.assert_array_equal(seen[:20], TARGETS[:20])


def test_more_errors_flip_the_same_rows_and_others_besides() -> None:
    few, many = (
        labelled_targets(TARGETS, IDS, Labelling(readings=1, missed=rate, false_alarms=rate)) != TARGETS
        for rate in (0.1, 0.3)
    )
    assert (many | ~few).all()


def test_the_order_of_the_rows_does_not_matter() -> None:
    options = Labelling(budget=900, readings=3, missed=0.2, false_alarms=0.2, spread=0.3, aggregate="dawid_skene_soft")
    order = np.random.default_rng(0).permutation(len(IDS))
    there = labelled_targets(TARGETS, IDS, options)[order]
    np.testing.assert_allclose(there, labelled_targets(TARGETS[order], [IDS[row] for row in order], options), atol=1e-6)


def test_three_alike_readers_err_together_as_the_binomial_says() -> None:
    seen = labelled_targets(TARGETS, IDS, Labelling(readings=3, missed=0.3, false_alarms=0.3))
    certain = (TARGETS == 0) | (TARGETS == 1)
    assert np.mean(seen[certain] != TARGETS[certain]) == pytest.approx(3 * 0.3**2 * 0.7 + 0.3**3, abs=0.03)


def test_two_readers_who_differ_leave_a_tie() -> None:
    seen = labelled_targets(TARGETS, IDS, Labelling(readings=2, missed=0.2, false_alarms=0.2))
    assert np.mean(seen[20:] == 0.5) == pytest.approx(2 * 0.2 * 0.8, abs=0.03)


def test_soft_targets_are_shares_of_votes() -> None:
    seen = labelled_targets(TARGETS, IDS, Labelling(readings=4, missed=0.2, false_alarms=0.2, aggregate="soft"))
    assert set(np.unique(seen[20:])) == {0.0, 0.25, 0.5, 0.75, 1.0}


def test_where_labellers_differ_dawid_and_skene_err_less_than_the_majority() -> None:
    errors = {}
    for aggregate in ("majority", "dawid_skene"):
        options = Labelling(readings=5, missed=0.3, false_alarms=0.3, spread=0.5, aggregate=aggregate)  # type: ignore[arg-type]
        errors[aggregate] = np.mean(labelled_targets(TARGETS, IDS, options)[20:] != TARGETS[20:])
    assert errors["dawid_skene"] < errors["majority"] - 0.02


def test_the_spread_of_labellers_is_that_of_the_beta() -> None:
    rates = error_rates(Labelling(readings=1, labellers=3000, missed=0.2, false_alarms=0.4, spread=0.1))
    np.testing.assert_allclose(rates.mean(axis=0), [0.4, 0.2], atol=0.01)
    np.testing.assert_allclose(rates.var(axis=0), [0.1 * 0.4 * 0.6, 0.1 * 0.2 * 0.8], atol=0.003)


def test_a_row_is_read_by_different_labellers() -> None:
    readings = readings_of(np.ones(50, dtype=np.bool_), IDS[:50], Labelling(readings=5, labellers=6))
    assert all(len(set(row)) == 5 for row in readings.labellers.reshape(50, 5).tolist())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"missed": 0.1}, "need datamodule.readings"),
        ({"readings": 1, "missed": 0.5}, "better than chance"),
        ({"readings": 11}, "must lie in"),
        ({"readings": 1, "aggregate": "dawid_skene"}, "at least 2"),
        ({"readings": 3, "budget": 2}, "does not buy a single row"),
        ({"aggregate": "majorty"}, "majority"),
        ({"readings": 1, "spread": 1.0}, "labeller_spread"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Labelling(**options)  # type: ignore[arg-type]
