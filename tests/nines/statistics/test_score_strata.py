import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nines.errors import ConfigError
from nines.statistics.score_strata import neyman_allocation, score_strata


def test_strata_follow_the_scores_and_cut_the_roots_into_equal_parts():
    chances = np.random.default_rng(0).beta(0.1, 10, size=5000)
    strata = score_strata(chances, count=5)
    order = np.argsort(chances)
    assert (np.diff(strata[order]) >= 0).all()
    sums = np.bincount(strata, weights=np.sqrt(chances))
    assert sums == pytest.approx(np.full(5, sums.sum() / 5), rel=0.05)


def test_equal_scores_share_a_stratum_and_numbers_have_no_gaps():
    strata = score_strata([0.0] * 50 + [0.5] * 50 + [0.6], count=10)
    assert len(set(strata[:50])) == len(set(strata[50:100])) == 1
    assert sorted(set(strata)) == list(range(len(set(strata))))
    assert set(score_strata(np.zeros(4), count=3)) == {0}
    with pytest.raises(ConfigError, match="at least 1"):
        score_strata([0.1], count=0)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, 50), st.floats(0, 1)), min_size=1, max_size=8),
    st.integers(0, 100),
    st.integers(0, 3),
)
def test_an_allocation_is_whole_within_bounds_and_spends_the_budget(strata, extra, least):
    sizes, spreads = np.array([size for size, _ in strata]), [spread for _, spread in strata]
    needed = int(np.minimum(sizes, least).sum())
    found = neyman_allocation(sizes, spreads, budget=needed + extra, least=least)
    assert found.sum() == min(needed + extra, sizes.sum())
    assert (found <= sizes).all()
    assert (found >= np.minimum(sizes, least)).all()


def test_the_allocation_has_the_smallest_variance_of_all_by_enumeration():
    sizes, spreads, budget = np.array([10, 20, 5]), np.array([0.1, 0.3, 0.5]), 9

    def variance(counts):
        return (sizes**2 * spreads**2 / np.array(counts)).sum()

    every = [c for c in itertools.product(range(1, 8), repeat=3) if sum(c) == budget and c[2] <= 5]
    found = neyman_allocation(sizes, spreads, budget=budget, least=1)
    assert variance(found) <= min(map(variance, every)) * 1.001


def test_what_is_refused_and_what_strata_without_spread_get():
    with pytest.raises(ConfigError, match="do not reach"):
        neyman_allocation([5, 5], [1, 1], budget=3)
    assert neyman_allocation([10, 30], [0, 0], budget=8, least=0).tolist() == [2, 6]
