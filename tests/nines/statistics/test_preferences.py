import math

import numpy as np
import pytest
from numpy.typing import NDArray

from nines.statistics.intervals import clopper_pearson
from nines.statistics.preferences import calibrate, evaluate_preferences
from tests.nines.statistics.test_comparisons import judged


def chances(first: NDArray[np.float64], tie: float = 0.0) -> NDArray[np.float64]:
    return np.stack([first * (1 - tie), np.full_like(first, tie), (1 - first) * (1 - tie)], axis=1)


def test_accuracy_is_over_decided_pairs_with_an_exact_interval() -> None:
    pairs = judged([[1], [1], [-1], [1, -1], [-1]])
    gaps = np.array([2.0, -1.0, -0.5, 9.0, 0.0])
    found = evaluate_preferences(gaps, chances(1 / (1 + np.exp(-gaps))), pairs)
    assert found.accuracy.items == 4  # the tie is none of them, and equal scores are wrong
    assert found.accuracy.estimate == 0.5
    assert (found.accuracy.lower, found.accuracy.upper) == pytest.approx(clopper_pearson(2, 4))


def test_the_model_is_held_against_one_reader_as_another_reader_is() -> None:
    """A model that repeats the second reading agrees with the first as often as the second reader does."""
    random = np.random.default_rng(0)
    first = random.choice([1, -1], 60)
    second = np.where(random.random(60) < 0.8, first, -first)
    pairs = judged([[int(a), int(b)] for a, b in zip(first, second, strict=True)])
    gaps = second.astype(float)
    found = evaluate_preferences(gaps, chances(np.full(60, 0.5)), pairs)
    # It agrees with the second always; with the first as the readers agree; each counts half.
    assert found.against_one_reader.estimate == pytest.approx((1 + found.readers.decided.estimate) / 2)


def test_a_ruler_is_found_out() -> None:
    random = np.random.default_rng(1)
    pairs = judged([[int(side)] for side in random.choice([1, -1], 50)])
    pairs.lengths[:] = random.integers(10, 99, (50, 2))
    gaps = (pairs.lengths[:, 1] - pairs.lengths[:, 0]).astype(float)  # shorter is better
    found = evaluate_preferences(gaps, chances(np.full(50, 0.5)), pairs)
    assert (found.shorter_preferred.estimate, found.longer_preferred.estimate) == (1.0, 0.0)
    assert found.length_correlation == pytest.approx(-1.0)


def test_log_loss_and_brier_count_ties_as_half_a_win() -> None:
    pairs = judged([[1], [0]])
    found = evaluate_preferences(np.array([1.0, 1.0]), chances(np.array([0.8, 0.8]), tie=0.1), pairs)
    p = 0.8 * 0.9 + 0.05
    assert found.log_loss == pytest.approx(-(math.log(p) + 0.5 * math.log(p) + 0.5 * math.log(1 - p)) / 2)
    assert found.brier == pytest.approx(((p - 1) ** 2 + (p - 0.5) ** 2) / 2)
    assert (found.ties_predicted, found.ties_observed) == pytest.approx((0.1, 0.5))


def test_exchanging_the_completions_changes_no_figure() -> None:
    random = np.random.default_rng(2)
    readings = [[int(side) for side in random.choice([1, 0, -1], random.integers(1, 3))] for _ in range(40)]
    gaps = random.normal(size=40)
    p = chances(1 / (1 + np.exp(-gaps)), tie=0.1)
    one = evaluate_preferences(gaps, p, judged(readings)).scalars()
    mirrored = judged([[-side for side in row] for row in readings])
    mirrored.lengths[:] = mirrored.lengths[:, ::-1].copy()
    assert evaluate_preferences(-gaps, p[:, ::-1], mirrored).scalars() == pytest.approx(one)


def test_the_diagram_and_its_error_are_those_worked_out_by_hand() -> None:
    """Favourites at 0.55, 0.55, 0.95, 0.95: won 1 of 2 and 2 of 2, so the error is (0.05 + 0.05) / 2."""
    p = chances(np.array([0.55, 0.45, 0.95, 0.05]))
    found = calibrate(p, np.array([1, 1, 1, -1], dtype=np.int8), np.arange(4), bins=5)
    assert found.error == pytest.approx(0.05)
    assert [one.observed.items for one in found.bins] == [2, 0, 0, 0, 2]
    assert (found.bins[0].predicted, found.bins[0].observed.estimate) == pytest.approx((0.55, 0.5))
    assert (found.bins[4].predicted, found.bins[4].observed.estimate) == pytest.approx((0.95, 1.0))


@pytest.mark.parametrize(("sharper", "caught"), [(1.0, False), (4.0, True)])
def test_only_wrong_predictions_exceed_the_error_that_chance_explains(sharper: float, caught: bool) -> None:
    random = np.random.default_rng(3)
    log_odds = random.normal(0, 1.2, 400)
    outcomes = np.where(random.random(400) < 1 / (1 + np.exp(-log_odds)), 1, -1).astype(np.int8)
    found = calibrate(chances(1 / (1 + np.exp(-sharper * log_odds))), outcomes, np.arange(400))
    assert (found.error > found.error_by_chance_upper) == caught


def test_a_tie_is_left_out_of_the_predicted_favourite() -> None:
    without = calibrate(chances(np.array([0.7])), np.array([1], dtype=np.int8), np.arange(1))
    with_ties = calibrate(chances(np.array([0.7]), tie=0.5), np.array([1], dtype=np.int8), np.arange(1))
    assert with_ties.error == pytest.approx(without.error) == pytest.approx(0.3)


def test_figures_that_are_unknown_are_null_in_json_and_absent_among_scalars() -> None:
    found = evaluate_preferences(np.zeros(2), chances(np.full(2, 0.5)), judged([[1], [-1]]))
    assert "reader_agreement" not in found.scalars()
    assert found.as_json()["readers"]["decided"]["estimate"] is None
    assert found.as_json()["length_correlation"] is None


def test_probabilities_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        evaluate_preferences(np.zeros(1), np.ones((1, 3)), judged([[1]]))
