import itertools

import numpy as np
import pytest

from nines.statistics.estimate import NoEstimateError
from nines.statistics.label_rounds import LabelRound, rate_over_rounds, round_weights
from nines.statistics.weighted_rates import horvitz_thompson

EVENTS = np.array([1, 0, 1, 0, 1])
SHARES = np.array([0.1, 0.3, 0.2, 0.25, 0.15])


def samples(chances):
    for taken in itertools.product([False, True], repeat=len(chances)):
        mask = np.array(taken)
        yield np.flatnonzero(mask), float(np.prod(np.where(mask, chances, 1 - chances)))


def second_probabilities(first, rest):
    """Adaptive: an event in the first round doubles the chance of its neighbours."""
    near = np.isin(rest - 1, first[EVENTS[first] == 1]) | np.isin(rest + 1, first[EVENTS[first] == 1])
    return np.where(near, 0.8, 0.4)


def a_round(items, chances, importance):
    return LabelRound(EVENTS[items] == 1, chances, SHARES[items], importance)


def test_two_adaptive_rounds_are_unbiased_over_every_possible_outcome():
    first_chances = np.array([0.3, 0.5, 0.6, 0.2, 0.4])
    mean = 0.0
    for first, probability in samples(first_chances):
        rest = np.setdiff1d(np.arange(5), first)
        chances = second_probabilities(first, rest)
        for again, then in samples(chances):
            if len(first) + len(again):
                rounds = [a_round(first, first_chances[first], 1.0), a_round(rest[again], chances[again], 2.0)]
                mean += probability * then * rate_over_rounds(rounds).estimate
    assert mean == pytest.approx(SHARES[EVENTS == 1].sum())


def test_one_round_is_horvitz_thompson():
    one = rate_over_rounds([LabelRound(np.array([True, False]), np.array([0.5, 0.2]), np.array([0.01, 0.01]), 3.0)])
    other = horvitz_thompson([1, 0], [0.5, 0.2], shares=[0.01, 0.01])
    assert one == other


def test_weights_by_hand():
    # Importances 1 and 3: a quarter and three quarters. What round one knows counts in full in round two.
    first = LabelRound(np.array([True]), np.array([0.5]), np.array([0.1]), 1.0)
    second = LabelRound(np.array([True, False]), np.array([0.2, 1.0]), np.array([0.1, 0.1]), 3.0)
    weights = round_weights([first, second])
    assert weights[0] == pytest.approx([0.1 * (0.25 / 0.5 + 0.75)])
    assert weights[1] == pytest.approx([0.1 * 0.75 / 0.2, 0.1 * 0.75])
    assert rate_over_rounds([first, second]).estimate == pytest.approx(weights[0][0] + weights[1][0])


def test_the_heaviest_item_of_any_round_bounds_what_was_not_seen():
    first = LabelRound(np.array([False]), np.array([0.5]), np.array([1e-5]), 1.0, heaviest=1e-3)
    second = LabelRound(np.array([False]), np.array([0.5]), np.array([1e-5]), 1.0, heaviest=1e-4)
    assert rate_over_rounds([first, second]).upper == pytest.approx(-np.log(0.025) * (0.5 * 1e-3 + 0.5 * 1e-5))


def test_events_of_one_prompt_in_two_rounds_are_added_up():
    def rounds(second_prompt):
        return [
            LabelRound(np.array([True]), np.array([0.1]), np.array([1e-4]), 1.0, clusters=np.array([prompt]))
            for prompt in (4, second_prompt)
        ]

    assert rate_over_rounds(rounds(4)).width > rate_over_rounds(rounds(5)).width


def test_nothing_drawn_and_impossible_probabilities_are_refused():
    with pytest.raises(NoEstimateError, match="no round"):
        rate_over_rounds([])
    with pytest.raises(NoEstimateError, match=r"\(0, 1\]"):
        LabelRound(np.array([True]), np.array([0.0]), np.array([0.1]), 1.0)
    with pytest.raises(ValueError, match="importance"):
        LabelRound(np.array([True]), np.array([0.5]), np.array([0.1]), 0.0)
