import numpy as np
import pytest

from nines.statistics.estimate import NoEstimateError
from nines.statistics.labelled import LabelledRows
from nines.statistics.rates import false_negative_rate
from nines.statistics.trade_off import trade_off


def sample(labels=(0, 0, 1, -1)):
    rng = np.random.default_rng(0)
    return rng.random(400), LabelledRows(
        labels=rng.choice(labels, 400).astype(np.int8),
        prompts=rng.integers(0, 80, 400),
        sources=np.full(400, "generated"),
        natural_weights=rng.random(400),
    )


@pytest.mark.parametrize("unsure", ["dropped", "as_injurious"])
def test_the_curve_agrees_with_the_rate_at_each_threshold(unsure):
    scores, rows = sample()
    curve = trade_off(scores, rows, unsure=unsure, points=20)
    for place, threshold in enumerate(curve.thresholds):
        one = false_negative_rate(scores, rows, threshold=threshold, unsure=unsure)
        found = curve.false_negative_rate
        assert (found.estimate[place], found.upper[place]) == pytest.approx((one.estimate, one.upper), abs=1e-9)
        weights = rows.natural_weights
        assert curve.acceptance.estimate[place] == pytest.approx(weights[scores < threshold].sum() / weights.sum())


def test_it_runs_from_accepting_nothing_to_accepting_everything():
    scores, rows = sample()
    curve = trade_off(scores, rows, points=10)
    assert len(curve.thresholds) <= 11
    assert curve.acceptance.estimate[[0, -1]].tolist() == [0.0, 1.0]
    assert curve.false_negative_rate.estimate[[0, -1]].tolist() == [0.0, 1.0]
    assert (np.diff(curve.false_negative_rate.estimate) >= 0).all()
    assert curve.as_json()["injurious"] == int((rows.labels == 1).sum())


def test_without_an_injurious_row_there_is_nothing_to_trade_off():
    scores, rows = sample(labels=(0,))
    with pytest.raises(NoEstimateError, match="natural"):
        trade_off(scores, rows)
    with pytest.raises(ValueError, match="points"):
        trade_off(scores, rows, points=3)
