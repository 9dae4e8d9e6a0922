import numpy as np
import pytest

from benchmarks.comparisons_saved import drawn, expectations

ACCEPTED = [np.array([True, True, False]), np.array([True, False, True])]
LENGTHS = [np.array([3.0, 5.0, 4.0]), np.array([1.0, 1.0, 2.0])]


def test_both_expectations_are_one_and_worked_by_hand():
    """First prompt: 3 gets ½ 1 1, 5 gets 0 ½ 0, so 3/6; second: 1 gets ½ ½ 1, 2 gets 0 0 ½, so 2.5/6."""
    all_labels, skipping, rejected = expectations(ACCEPTED, LENGTHS)
    assert all_labels == pytest.approx((3 / 6 + 2.5 / 6) / 2)
    assert skipping == pytest.approx(all_labels)
    assert rejected == pytest.approx(1 / 3)


def test_drawn_pairs_have_these_expectations():
    shares, needed = drawn(ACCEPTED, LENGTHS, replications=20_000, rng=np.random.default_rng(0))
    assert shares.mean() == pytest.approx(expectations(ACCEPTED, LENGTHS)[0], abs=0.01)
    assert np.where(needed, shares, 0.5).mean() == pytest.approx(expectations(ACCEPTED, LENGTHS)[1], abs=0.01)
    assert needed.mean() == pytest.approx(1 / 3, abs=0.01)
