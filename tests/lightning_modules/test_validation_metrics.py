import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from lightning_modules.validation_metrics import classification_metrics

Arrays = tuple[np.ndarray, np.ndarray]


@st.composite
def scored_labels(draw: st.DrawFn) -> Arrays:
    """Scores with ties, and labels of both classes with unsure ones among them."""
    size = draw(st.integers(4, 60))
    labels = draw(st.lists(st.sampled_from([1, 0, -1]), min_size=size, max_size=size))
    labels[:2] = [0, 1]
    scores = draw(st.lists(st.sampled_from(np.linspace(0.01, 0.99, 15).tolist()), min_size=size, max_size=size))
    return np.array(scores), np.array(labels, dtype=np.int8)


@settings(max_examples=60, deadline=None)
@given(scored_labels())
def test_ranking_metrics_equal_those_of_scikit_learn_over_certain_rows(arrays: Arrays) -> None:
    scores, labels = arrays
    certain = labels >= 0
    truth, kept = labels[certain], scores[certain]
    found = classification_metrics(scores, labels)
    assert found["auroc"] == pytest.approx(roc_auc_score(truth, kept), abs=1e-6)
    assert found["partial_auc"] == pytest.approx(roc_auc_score(truth, kept, max_fpr=0.1), abs=1e-6)
    assert found["average_precision"] == pytest.approx(average_precision_score(truth, kept), abs=1e-6)
    assert found["log_loss"] == pytest.approx(log_loss(truth, kept), abs=1e-9)


def test_calibration_error_is_the_gap_in_fifteen_bins_weighted_by_their_rows() -> None:
    """Two bins: 4 rows at 0.9 of which 3 are positive, 6 rows at 0.1 of which 0 are: 0.4 · 0.15 + 0.6 · 0.1."""
    scores = np.array([0.9] * 4 + [0.1] * 6)
    labels = np.array([1, 1, 1, 0] + [0] * 6, dtype=np.int8)
    assert classification_metrics(scores, labels)["calibration_error"] == pytest.approx(
        0.4 * 0.15 + 0.6 * 0.1, abs=1e-6
    )


def test_confident_scores_that_float32_cannot_tell_apart_are_still_ranked() -> None:
    scores = 1 - np.array([1e-12, 2e-12, 3e-12, 4e-12])
    labels = np.array([1, 1, 0, 0], dtype=np.int8)
    assert len(np.unique(scores.astype(np.float32))) == 1
    assert classification_metrics(scores, labels)["auroc"] == 1.0


def test_a_certain_mistake_costs_a_finite_log_loss() -> None:
    scores, labels = np.array([0.0, 0.5]), np.array([1, 0], dtype=np.int8)
    expected = (-math.log(1e-12) + math.log(2)) / 2
    assert classification_metrics(scores, labels)["log_loss"] == pytest.approx(expected)


@pytest.mark.parametrize("labels", [[0, 0, -1], [1, 1, 1], [-1, -1, -1]])
def test_a_missing_class_gives_nan_for_every_metric(labels: list[int]) -> None:
    found = classification_metrics(np.array([0.1, 0.2, 0.3]), np.array(labels, dtype=np.int8))
    assert set(found) == {"partial_auc", "auroc", "average_precision", "calibration_error", "log_loss"}
    assert all(math.isnan(value) for value in found.values())
