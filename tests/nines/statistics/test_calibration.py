import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from nines.errors import DataError
from nines.statistics.calibration import (
    KINDS,
    IsotonicMap,
    LogisticMap,
    calibration_from_json,
    cross_fitted,
    fit_calibration,
)
from nines.statistics.estimate import NoEstimateError

RNG = np.random.default_rng(0)
LOG_ODDS = RNG.normal(-2, 2, 1500)
SCORES = 1 / (1 + np.exp(-LOG_ODDS))
POSITIVE = RNG.random(1500) < 1 / (1 + np.exp(-(1.6 * LOG_ODDS + 0.7)))
WEIGHTS = RNG.integers(1, 4, 1500)


def platts_targets():
    """Each row twice, once in each class, with the weights that make Platt's soft targets."""
    ones, zeros = (WEIGHTS[side].sum() ** 2 / (WEIGHTS[side] ** 2).sum() for side in (POSITIVE, ~POSITIVE))
    targets = np.where(POSITIVE, (ones + 1) / (ones + 2), 1 / (zeros + 2))
    return np.r_[np.ones(1500), np.zeros(1500)], np.r_[WEIGHTS * targets, WEIGHTS * (1 - targets)]


def sklearn_fit(features, **options):
    labels, weights = platts_targets()
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000, **options)
    return model.fit(np.r_[features, features], labels, sample_weight=weights)


def test_platt_scaling_equals_scikit_learns_logistic_regression():
    reference = sklearn_fit(LOG_ODDS[:, None])
    found = fit_calibration("platt", SCORES, POSITIVE, weights=WEIGHTS)
    assert found.on_log == found.on_log_complement == pytest.approx(reference.coef_[0, 0], abs=1e-4)
    assert found.intercept == pytest.approx(reference.intercept_[0], abs=1e-4)


def test_temperature_scaling_equals_a_regression_without_intercept():
    reference = sklearn_fit(LOG_ODDS[:, None], fit_intercept=False)
    found = fit_calibration("temperature", SCORES, POSITIVE, weights=WEIGHTS)
    assert (found.on_log, found.intercept) == (pytest.approx(reference.coef_[0, 0], abs=1e-4), 0.0)


def test_beta_calibration_equals_a_regression_on_both_logarithms():
    reference = sklearn_fit(np.column_stack([np.log(SCORES), -np.log1p(-SCORES)]))
    found = fit_calibration("beta", SCORES, POSITIVE, weights=WEIGHTS)
    assert (reference.coef_ > 0).all()
    assert (found.on_log, found.on_log_complement) == pytest.approx(tuple(reference.coef_[0]), abs=1e-3)


def test_isotonic_calibration_equals_scikit_learns():
    reference = IsotonicRegression(out_of_bounds="clip").fit(SCORES, POSITIVE, sample_weight=WEIGHTS)
    found = fit_calibration("isotonic", SCORES, POSITIVE, weights=WEIGHTS)
    points = np.linspace(0, 1, 200)
    assert found.apply(SCORES) == pytest.approx(reference.predict(SCORES), abs=1e-9)
    assert found.apply(points) == pytest.approx(reference.predict(points), abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_a_map_survives_its_json_exactly(kind):
    found = fit_calibration(kind, SCORES, POSITIVE)
    again = calibration_from_json(json.loads(json.dumps(found.as_json())))
    assert again == found
    assert again.kind == kind


@given(
    st.sampled_from(KINDS),
    st.lists(st.tuples(st.sampled_from([0.0, 0.2, 1.0]) | st.floats(0, 1), st.booleans()), min_size=2, max_size=30),
)
def test_no_map_ever_turns_the_order_of_two_scores(kind, rows):
    scores, positive = np.array([score for score, _ in rows]), np.array([label for _, label in rows])
    try:
        found = fit_calibration(kind, scores, positive)
    except NoEstimateError:
        return
    values = found.apply(np.linspace(0, 1, 101))
    assert (np.diff(values) >= 0).all()
    assert ((values >= 0) & (values <= 1)).all()


def test_separated_classes_keep_the_slope_finite():
    found = fit_calibration("platt", [0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1])
    assert 0 < found.on_log < 100
    assert 0 < found.apply(0.05) < found.apply(0.95) < 1


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "isotonic"])
def test_scores_that_rank_backwards_are_refused(kind):
    with pytest.raises(NoEstimateError, match="do not rank"):
        fit_calibration(kind, 1 - SCORES[SCORES < 0.5], POSITIVE[SCORES < 0.5])


def test_a_missing_class_and_scores_beyond_one_are_refused():
    with pytest.raises(NoEstimateError, match="no injurious row"):
        fit_calibration("platt", [0.1, 0.2], [0, 0])
    with pytest.raises(NoEstimateError, match="no safe row"):
        fit_calibration("platt", [0.1, 0.2], [1, 0], weights=[1, 0])
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        fit_calibration("platt", [0.1, 2], [0, 1])
    with pytest.raises(ValueError, match="did you mean 'platt'"):
        fit_calibration("plat", [0.1, 0.2], [0, 1])


@pytest.mark.parametrize(
    "content", [{}, {"kind": "spline"}, {"kind": "platt", "on_log": -1, "on_log_complement": 1, "intercept": 0},
                {"kind": "isotonic", "scores": [0.5, 0.1], "probabilities": [0, 1]}, []]
)  # fmt: skip
def test_what_is_no_map_is_refused(content):
    with pytest.raises(DataError):
        calibration_from_json(content)


def test_cross_fitting_never_shows_a_fold_its_own_prompts():
    prompts = np.arange(1500) // 3
    found = cross_fitted("platt", SCORES, POSITIVE, prompts=prompts, folds=5)
    held = prompts % 5 == 2
    own = fit_calibration("platt", SCORES[~held], POSITIVE[~held])
    assert found[held] == pytest.approx(own.apply(SCORES[held]))
    with pytest.raises(NoEstimateError, match="folds"):
        cross_fitted("platt", SCORES, POSITIVE, prompts=np.zeros(1500), folds=5)


def test_a_map_of_its_own_must_rise():
    assert LogisticMap("platt", 2.0, 2.0, 0.0).apply(0.5) == 0.5
    with pytest.raises(ValueError, match="never fall"):
        IsotonicMap((0.1, 0.2), (0.5, 0.4))
