from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize

from nines.statistics.consensus import majority
from nines.statistics.dawid_skene import dawid_skene
from nines.statistics.estimate import NoEstimateError
from nines.statistics.readings import Readings

TABLE = [
    [0, 0, 0, 1], [1, 0, 1, 1], [0, 0, 1, 0], [1, 1, -1, 0], [1, 1, 1, 1], [0, 0, 1, 0],
    [1, 1, 0, 1], [0, 1, 0, 1], [-1, 0, 0, 0], [0, 1, 0, 1], [1, 1, 1, 1], [1, 1, 0, 0],
]  # fmt: skip


def simulated(
    seed: int, *, items: int, accuracies: list[float], prevalence: float = 0.3
) -> tuple[np.ndarray, Readings]:
    rng = np.random.default_rng(seed)
    truth = (rng.random(items) < prevalence).astype(int)
    right = rng.random((items, len(accuracies))) < accuracies
    return truth, Readings.of_table(np.where(right, truth[:, None], 1 - truth[:, None]))


def test_without_priors_it_is_the_maximum_likelihood_that_crowd_kit_finds() -> None:
    # crowd-kit 1.4.2, DawidSkene(n_iter=10000, tol=1e-12), on the same table.
    found = dawid_skene(
        Readings.of_table(TABLE), right=0, wrong=0, prevalence=0, tolerance=1e-13, max_iterations=10_000
    )
    injurious = [1, 1, 0.040464, 1, 1, 0.040464, 1, 1, 0.419603, 1, 1, 1]
    np.testing.assert_allclose(found.posterior[:, 1], injurious, atol=2e-5)
    np.testing.assert_allclose(found.prevalence, [0.208289, 0.791711], atol=2e-5)
    np.testing.assert_allclose(found.confusion[2], [[0.232208, 0.767792], [0.637560, 0.362440]], atol=2e-5)
    assert found.converged


def test_with_priors_no_other_parameters_have_a_higher_posterior() -> None:
    """The objective is written again by brute force over the two classes of each item, and climbed by scipy."""
    found = dawid_skene(Readings.of_table(TABLE), right=2.0, wrong=1.0, prevalence=1.0, tolerance=1e-13)

    def lost(logits: np.ndarray) -> float:
        prevalence, wrong = 1 / (1 + np.exp(-logits[0])), 1 / (1 + np.exp(-logits[1:].reshape(4, 2)))
        total = np.log(prevalence) + np.log(1 - prevalence)
        for labeller in range(4):
            for true_class in range(2):
                error = wrong[labeller, true_class]
                total += 2.0 * np.log(1 - error) + np.log(error)
        for row in TABLE:
            joint = [1 - prevalence, prevalence]
            for labeller, response in enumerate(row):
                for true_class in range(2):
                    if response >= 0:
                        error = wrong[labeller, true_class]
                        joint[true_class] *= error if response != true_class else 1 - error
            total += np.log(sum(joint))
        return -total

    shares = found.prevalence[1]
    errors = np.stack([found.confusion[:, 0, 1], found.confusion[:, 1, 0]], axis=1).ravel()
    start = np.concatenate([[np.log(shares / (1 - shares))], np.log(errors / (1 - errors))])
    best = optimize.minimize(lost, start, method="BFGS")
    assert lost(start) == pytest.approx(best.fun, abs=1e-6)
    np.testing.assert_allclose(start, best.x, atol=5e-3)


def test_it_finds_how_labellers_err_and_beats_the_majority_where_they_differ() -> None:
    accuracies = [0.95, 0.9, 0.6, 0.55, 0.55]
    truth, readings = simulated(3, items=4000, accuracies=accuracies)
    found = dawid_skene(readings)
    np.testing.assert_allclose(np.diagonal(found.confusion, axis1=1, axis2=2).mean(axis=1), accuracies, atol=0.03)
    np.testing.assert_allclose(found.prevalence[1], truth.mean(), atol=0.02)
    assert (found.labels() == truth).mean() > (majority(readings) == truth).mean() + 0.05


def test_an_unsure_answer_is_a_response_of_its_own() -> None:
    truth, readings = simulated(5, items=2000, accuracies=[0.9, 0.9, 0.9])
    table = readings.table()
    table[(np.random.default_rng(0).random(2000) < 0.2) & (truth == 1), 0] = 2  # the first is unsure on injuries only
    found = dawid_skene(Readings.of_table(table))
    np.testing.assert_allclose(found.confusion[0, :, 2], [0.0, 0.2], atol=0.03)


def test_a_labeller_who_never_read_and_an_item_nobody_read_stay_at_the_prior() -> None:
    _, readings = simulated(1, items=300, accuracies=[0.9, 0.9, 0.9])
    table = np.full((301, 4), -1)
    table[:300, :3] = readings.table()
    found = dawid_skene(Readings.of_table(table), right=1.0, wrong=0.5)
    np.testing.assert_allclose(found.confusion[3], [[2 / 3, 1 / 3], [1 / 3, 2 / 3]])
    np.testing.assert_allclose(found.posterior[300], found.prevalence, atol=1e-6)


def test_single_readings_are_refused() -> None:
    with pytest.raises(NoEstimateError, match="no item has two readings"):
        dawid_skene(Readings.of_table([[0, -1], [-1, 1]]))
