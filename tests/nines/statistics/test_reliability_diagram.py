import itertools

import numpy as np
import pytest

from nines.statistics.estimate import NoEstimateError
from nines.statistics.intervals import clustered_interval
from nines.statistics.ranking import expected_calibration_error
from nines.statistics.reliability_diagram import calibration_error, reliability_diagram

RNG = np.random.default_rng(0)
PROBABILITIES = RNG.random(500) ** 2
POSITIVE = RNG.random(500) < PROBABILITIES**1.5
WEIGHTS = RNG.random(500)
PROMPTS = RNG.integers(0, 100, 500)


def test_a_bin_holds_the_means_and_the_interval_of_its_rows():
    diagram = reliability_diagram(PROBABILITIES, POSITIVE, weights=WEIGHTS, prompts=PROMPTS, bins=5)
    inside = (PROBABILITIES >= 0.2) & (PROBABILITIES < 0.4)
    interval = clustered_interval(POSITIVE[inside], PROMPTS[inside], weights=WEIGHTS[inside])
    assert diagram[1].predicted == pytest.approx(np.average(PROBABILITIES[inside], weights=WEIGHTS[inside]))
    assert diagram[1].observed.estimate == pytest.approx(interval.estimate)
    assert diagram[1].observed.upper == pytest.approx(interval.upper)
    assert sum(one.share for one in diagram) == pytest.approx(1)


def test_bins_of_equal_weight_weigh_the_same():
    diagram = reliability_diagram(PROBABILITIES, POSITIVE, weights=WEIGHTS, bins=10, equal_weight=True)
    assert len(diagram) == 10
    assert all(one.share == pytest.approx(0.1, abs=0.01) for one in diagram)
    assert all(one.highest < other.lowest for one, other in itertools.pairwise(diagram))


def test_the_error_equals_the_one_that_training_reports():
    found = calibration_error(PROBABILITIES, POSITIVE, weights=WEIGHTS, bins=15, equal_weight=False)
    assert found.estimate == pytest.approx(
        expected_calibration_error(PROBABILITIES, POSITIVE, weights=WEIGHTS, bins=15)
    )
    assert found.lower <= found.estimate <= found.upper


def test_gross_miscalibration_cannot_be_chance_and_a_handful_of_rows_can():
    assert calibration_error(np.full(400, 0.9), np.zeros(400)).lower > 0.85
    assert calibration_error([0.5, 0.5], [0, 0]).lower == 0.0


def test_empty_bins_are_left_out_and_no_rows_are_refused():
    assert len(reliability_diagram([0.05, 0.95], [0, 1], bins=10)) == 2
    with pytest.raises(NoEstimateError):
        reliability_diagram([0.5], [1], weights=[0])
