import numpy as np
import pytest
from scipy import optimize

from nines.statistics.logistic_fit import fit_logistic


def loss(coefficients, features, targets, weights):
    z = features @ coefficients
    return (weights * (np.logaddexp(0, z) - targets * z)).sum() / weights.sum()


@pytest.mark.parametrize("seed", range(6))
def test_the_bounded_optimum_is_that_of_scipy(seed):
    rng = np.random.default_rng(seed)
    features = np.column_stack([rng.normal(size=(200, 2)), np.ones(200)])
    truth = rng.normal(size=3)
    targets = np.where(rng.random(200) < 1 / (1 + np.exp(-features @ truth)), 0.98, 0.02)
    weights = rng.random(200)
    found = fit_logistic(features, targets, weights=weights, nonnegative=2)
    reference = optimize.minimize(
        loss, np.zeros(3), (features, targets, weights), bounds=[(0, None), (0, None), (None, None)], tol=1e-14
    )
    assert (found[:2] >= 0).all()
    assert loss(found, features, targets, weights) <= reference.fun + 1e-10


def test_a_column_without_information_does_no_harm():
    features = np.ones((50, 2))
    found = fit_logistic(features, np.full(50, 0.3), weights=np.ones(50), nonnegative=1)
    assert 1 / (1 + np.exp(-features[0] @ found)) == pytest.approx(0.3, abs=1e-6)
