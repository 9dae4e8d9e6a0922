import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics
from torchmetrics.functional.classification import binary_calibration_error

from nines.statistics.ranking import auroc, average_precision, expected_calibration_error, log_loss, partial_auc


@st.composite
def problems(draw):
    """Scores with many ties, at least one row of each class, integer weights of which some are zero."""
    size = draw(st.integers(2, 30))
    scores = draw(st.lists(st.integers(0, 8), min_size=size, max_size=size))
    positives = [True, False, *draw(st.lists(st.booleans(), min_size=size - 2, max_size=size - 2))]
    weights = [1, 1, *draw(st.lists(st.integers(0, 4), min_size=size - 2, max_size=size - 2))]
    return np.array(scores) / 8, np.array(positives), np.array(weights)


FIGURES = (partial_auc, auroc, average_precision, log_loss, expected_calibration_error)


@given(problems(), st.sampled_from([0.01, 0.05, 0.1, 0.37, 0.9]))
def test_partial_auc_is_that_of_scikit_learn(problem, rate):
    scores, positives, weights = problem
    expected = metrics.roc_auc_score(positives, scores, sample_weight=weights, max_fpr=rate)
    assert partial_auc(scores, positives, weights=weights, max_false_positive_rate=rate) == pytest.approx(expected)


@given(problems())
def test_auroc_average_precision_and_log_loss_are_those_of_scikit_learn(problem):
    scores, positives, weights = problem
    assert auroc(scores, positives, weights=weights) == pytest.approx(
        metrics.roc_auc_score(positives, scores, sample_weight=weights)
    )
    assert average_precision(scores, positives, weights=weights) == pytest.approx(
        metrics.average_precision_score(positives, scores, sample_weight=weights)
    )
    assert log_loss(scores, positives, weights=weights) == pytest.approx(
        metrics.log_loss(positives, scores, sample_weight=weights)
    )


@given(problems())
def test_auroc_is_the_chance_that_a_positive_outscores_a_negative(problem):
    scores, positives, weights = problem
    wins = total = 0.0
    for i in np.flatnonzero(positives):
        for j in np.flatnonzero(~positives):
            pair = float(weights[i] * weights[j])
            total += pair
            wins += pair * (1.0 if scores[i] > scores[j] else 0.5 if scores[i] == scores[j] else 0.0)
    assert auroc(scores, positives, weights=weights) == pytest.approx(wins / total)


@pytest.mark.parametrize("figure", FIGURES)
@given(problem=problems())
def test_a_weight_is_a_number_of_copies(figure, problem):
    scores, positives, weights = problem
    copies = figure(np.repeat(scores, weights), np.repeat(positives, weights))
    assert figure(scores, positives, weights=weights) == pytest.approx(copies, abs=1e-12)


@pytest.mark.parametrize("figure", [partial_auc, auroc, average_precision])
@given(problem=problems())
def test_a_monotone_transform_of_the_scores_changes_no_ranking_figure(figure, problem):
    scores, positives, weights = problem
    before = figure(scores, positives, weights=weights)
    assert figure(np.exp(3 * scores) - 7, positives, weights=weights) == pytest.approx(before)


def test_partial_auc_is_one_for_perfect_and_a_half_for_useless_scores():
    positives = np.arange(100) < 30
    assert partial_auc(positives.astype(float), positives) == pytest.approx(1.0)
    assert partial_auc(np.zeros(100), positives) == pytest.approx(0.5)


def test_partial_auc_by_hand():
    # ROC: (0, 0) → (0, .5) → (.5, .5) → (.5, 1) → (1, 1). Area to 0.2 is 0.1; chance 0.02; (0.1-0.02)/(0.2-0.02) = 4/9.
    found = partial_auc([4, 3, 2, 1], [1, 0, 1, 0], max_false_positive_rate=0.2)
    assert found == pytest.approx(0.5 * (1 + 4 / 9))


def test_calibration_error_by_hand():
    # Bin [0.2, 0.4): mean 0.25, observed 0.5, weight 2 of 4; bin [0.8, 1]: mean 0.95, observed 0.5, weight 2 of 4.
    found = expected_calibration_error([0.2, 0.3, 0.9, 1.0], [0, 1, 1, 0], bins=5)
    assert found == pytest.approx(0.5 * 0.25 + 0.5 * 0.45)


def test_calibration_error_is_that_of_torchmetrics():
    random = np.random.default_rng(0)
    scores = random.random(500)
    positives = random.random(500) < scores**2
    expected = binary_calibration_error(torch.from_numpy(scores), torch.from_numpy(positives).long(), n_bins=15)
    assert expected_calibration_error(scores, positives) == pytest.approx(float(expected), abs=1e-6)


def test_log_loss_of_a_certain_mistake_is_large_and_finite():
    assert log_loss([0.0], [1]) == pytest.approx(-math.log(np.finfo(np.float64).eps))


@pytest.mark.parametrize("figure", [log_loss, expected_calibration_error])
def test_what_needs_probabilities_refuses_other_scores(figure):
    with pytest.raises(ValueError, match="probabilities in"):
        figure([1.2], [1])


def test_a_missing_class_gives_nan():
    assert math.isnan(auroc([0.1, 0.2], [1, 1]))
    assert math.isnan(partial_auc([0.1, 0.2], [0, 0]))
    assert math.isnan(average_precision([0.1, 0.2], [0, 0]))
    assert math.isnan(log_loss([], []))
    assert math.isnan(expected_calibration_error([], []))


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.1])
def test_a_partial_auc_needs_a_rate_in_its_range(rate):
    with pytest.raises(ValueError, match="must lie in"):
        partial_auc([0.1, 0.2], [0, 1], max_false_positive_rate=rate)
