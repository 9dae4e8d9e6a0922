import numpy as np
import pytest
from sklearn import metrics

from nines.statistics.curves import cumulative_weights, precision_recall_curve, probability_bins, roc_curve


@pytest.fixture
def sample():
    random = np.random.default_rng(3)
    positives = random.random(300) < 0.2
    scores = np.round(random.random(300) * 0.7 + positives * 0.2, 2)
    return scores, positives, random.choice([0.0, 0.5, 3.0], size=300)


def test_cumulative_weights_by_hand():
    found = cumulative_weights([0.9, 0.5, 0.5, 0.1], [1, 0, 1, 0], weights=[1, 2, 3, 4])
    assert found.thresholds.tolist() == [0.9, 0.5, 0.1]
    assert found.positives.tolist() == [1, 4, 4]
    assert found.negatives.tolist() == [0, 2, 6]


def test_the_roc_curve_is_that_of_scikit_learn(sample):
    scores, positives, weights = sample
    expected = metrics.roc_curve(positives, scores, sample_weight=weights, drop_intermediate=False)
    found = roc_curve(scores, positives, weights=weights)
    np.testing.assert_allclose(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1])


def test_the_precision_recall_curve_is_that_of_scikit_learn(sample):
    scores, positives, weights = sample
    precision, recall, _ = metrics.precision_recall_curve(positives, scores, sample_weight=weights)
    found = precision_recall_curve(scores, positives, weights=weights)
    np.testing.assert_allclose(found[0], precision[-2::-1])
    np.testing.assert_allclose(found[1], recall[-2::-1])


def test_a_missing_class_gives_no_curve():
    assert roc_curve([0.1, 0.2], [1, 1]) is None
    assert roc_curve([], []) is None
    assert roc_curve([0.1, 0.2], [1, 0], weights=[1, 0]) is None
    assert precision_recall_curve([0.1, 0.2], [0, 0]) is None


def test_bins_are_closed_below_and_the_last_one_on_both_sides():
    assert probability_bins([0.0, 0.0999, 0.5, 0.9999, 1.0], bins=2).tolist() == [0, 0, 1, 1, 1]


def test_bins_refuse_what_is_no_probability():
    with pytest.raises(ValueError, match="probabilities in"):
        probability_bins([1.1], bins=10)
