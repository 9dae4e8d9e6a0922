import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nines.errors import ConfigError
from nines.statistics.selection import draw, selection_probabilities


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.data(), st.sampled_from([0.0, 0.3, 1.0]))
def test_probabilities_sum_to_the_budget_and_stay_in_range(chances, data, floor):
    positive = sum(chance > 0 for chance in chances)
    budget = data.draw(st.integers(1, len(chances) if floor or not positive else positive))
    found = selection_probabilities(chances, budget=budget, floor=floor)
    assert ((found >= 0) & (found <= 1)).all()
    assert found.sum() == pytest.approx(budget)


def test_below_one_they_are_in_proportion_to_share_and_root():
    chances, shares = np.array([0.01, 0.04, 0.09]), np.array([1.0, 1.0, 2.0])
    found = selection_probabilities(chances, budget=1, shares=shares, floor=0.0)
    assert found == pytest.approx(np.array([0.1, 0.2, 0.6]) / 0.9)


def test_they_give_the_smallest_variance_of_all_that_cost_as_much():
    rng = np.random.default_rng(0)
    chances = rng.beta(0.2, 5, size=60)
    best = selection_probabilities(chances, budget=10, floor=0.0)

    def variance(probabilities):
        return (chances / probabilities).sum()

    for _ in range(50):
        other = np.clip(best * np.exp(0.2 * rng.normal(size=60)), 1e-9, 1)
        assert variance(other * min(1.0, best.sum() / other.sum())) > variance(best) - 1e-9


def test_the_floor_bounds_every_weight():
    chances = np.array([0.0] * 900 + [0.5] * 100)
    found = selection_probabilities(chances, budget=100, floor=0.4)
    assert found.min() >= 0.4 * 100 / 1000 - 1e-12
    assert found.max() <= 1


def test_out_of_range_arguments_are_refused():
    with pytest.raises(ConfigError, match="between 1 and the 2 items"):
        selection_probabilities([0.1, 0.2], budget=3)
    with pytest.raises(ConfigError, match="floor"):
        selection_probabilities([0.1, 0.2], budget=1, floor=1.5)
    with pytest.raises(ValueError, match="failure_chances"):
        selection_probabilities([3.0], budget=1)


def test_draws_have_exactly_their_probabilities_and_a_fixed_number():
    chances = selection_probabilities(np.linspace(0, 0.9, 30), budget=9, floor=0.2)
    rng = np.random.default_rng(3)
    counts = np.zeros(30)
    for _ in range(4000):
        taken = draw(chances, rng)
        assert len(taken) == len(np.unique(taken))
        assert len(taken) in (8, 9, 10)
        counts[taken] += 1
    error = np.sqrt(np.maximum(chances * (1 - chances), 1e-9) / 4000)
    assert (np.abs(counts / 4000 - chances) < 4.5 * error + 1e-6).all()


def test_certain_items_are_always_drawn_and_impossible_ones_never():
    rng = np.random.default_rng(4)
    for _ in range(20):
        taken = draw([1.0, 0.0, 0.5, 0.5], rng)
        assert 0 in taken
        assert 1 not in taken
        assert len(taken) == 2
    with pytest.raises(ValueError, match="probabilities"):
        draw([1.1], rng)
