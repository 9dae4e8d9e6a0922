"""How each labeller errs and what each item truly is, estimated together from readings alone (Dawid and Skene 1979)."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from nines.statistics.consensus import soft_labels
from nines.statistics.estimate import NoEstimateError
from nines.statistics.readings import Readings

_TINY = 1e-300


@dataclasses.dataclass(frozen=True)
class DawidSkene:
    """The fitted model.

    Attributes:
        posterior: P(true class | readings) of each item, `(items, classes)`; the prevalence where nobody read it.
        prevalence: Share of each class, `(classes,)`.
        confusion: P(response | true class) of each labeller, `(labellers, classes, responses)`.
        log_likelihood: Of the readings at these parameters, in nats, the prior left out.
        iterations: Steps of expectation and maximisation.
        converged: Whether the last step moved the objective by less than the tolerance.
    """

    posterior: NDArray[np.float64]
    prevalence: NDArray[np.float64]
    confusion: NDArray[np.float64]
    log_likelihood: float
    iterations: int
    converged: bool

    def labels(self, *, certain: float = 0.5) -> NDArray[np.int64]:
        """The likeliest class of each item, -1 (unsure) where its posterior is at most `certain`, `(items,)`."""
        return np.where(self.posterior.max(axis=1) > certain, self.posterior.argmax(axis=1), -1).astype(np.int64)


def dawid_skene(
    readings: Readings,
    *,
    right: float = 1.0,
    wrong: float = 0.5,
    prevalence: float = 0.5,
    tolerance: float = 1e-8,
    max_iterations: int = 500,
) -> DawidSkene:
    """Fit by expectation and maximisation, from the vote shares (Dawid and Skene 1979, equations 2.3 to 2.5).

    Each item has one true class, drawn with the prevalences. Given it, readings are independent, and labeller k gives
    response l to class j with probability `confusion[k, j, l]`. The priors are pseudo-counts that each maximisation
    adds: the mode under Dirichlet priors with these counts plus one. With all three at 0 it is the maximum likelihood
    of 1979, whose zeros and ones are too sure where a labeller read few items.

    Assumptions: items are equally hard for a labeller given their class (an item that fools everybody breaks it, and
    shows as false certainty); labellers err independently and are better than chance. Without priors the model
    is identified only if items have three readings or more, from labellers that overlap. Drift is not modelled.

    Args:
        readings: At least one item must have two readings.
        right: Pseudo-count of the right response in each row of the confusion, at least 0.
        wrong: Pseudo-count of every other response, at least 0.
        prevalence: Pseudo-count of each class, at least 0.
        tolerance: Stop when the log posterior of the parameters rises by less, relative to the number of readings.
        max_iterations: Stop then, with `converged` False.

    Raises:
        ValueError: A pseudo-count is negative.
        NoEstimateError: No item has two readings: nothing tells a good labeller from a bad one.
    """
    if min(right, wrong, prevalence) < 0:
        raise ValueError("pseudo-counts must not be negative")
    per_item = np.bincount(readings.items, minlength=readings.item_count)
    if not (per_item >= 2).any():
        raise NoEstimateError(
            "no item has two readings, so nothing tells a good labeller from a bad one; have some items read twice, "
            "or judge labellers on gold items"
        )
    prior = np.full((readings.class_count, readings.response_count), wrong)
    np.fill_diagonal(prior, right)
    posterior = np.nan_to_num(soft_labels(readings), nan=1.0 / readings.class_count)
    before, converged, step = -np.inf, False, 0
    while not converged and step < max_iterations:
        step += 1
        shares, confusion = _maximise(readings, posterior, read=per_item > 0, prior=prior, prevalence=prevalence)
        posterior, log_likelihood = _expect(readings, shares, confusion, read=per_item > 0)
        objective = log_likelihood + float(
            (prior * np.log(np.maximum(confusion, _TINY))).sum() + prevalence * np.log(np.maximum(shares, _TINY)).sum()
        )
        converged = objective - before < tolerance * len(readings)
        before = objective
    return DawidSkene(posterior, shares, confusion, log_likelihood, step, converged)


def _maximise(
    readings: Readings,
    posterior: NDArray[np.float64],
    *,
    read: NDArray[np.bool_],
    prior: NDArray[np.float64],
    prevalence: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    responses = readings.response_count
    place = readings.labellers * responses + readings.responses
    counts = np.empty((readings.labeller_count, readings.class_count, responses))
    for number in range(readings.class_count):
        weights = posterior[readings.items, number]
        flat = np.bincount(place, weights=weights, minlength=readings.labeller_count * responses)
        counts[:, number, :] = flat.reshape(readings.labeller_count, responses)
    counts += prior
    total = counts.sum(axis=2, keepdims=True)
    # A labeller who never met a class, without a prior: nothing is known of that row.
    confusion = np.divide(counts, total, out=np.full_like(counts, 1.0 / responses), where=total > 0)
    shares = posterior[read].sum(axis=0) + prevalence
    return shares / shares.sum(), confusion


def _expect(
    readings: Readings, shares: NDArray[np.float64], confusion: NDArray[np.float64], *, read: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], float]:
    joint = np.empty((readings.item_count, readings.class_count))
    log_confusion = np.log(np.maximum(confusion, _TINY))
    for number in range(readings.class_count):
        weights = log_confusion[readings.labellers, number, readings.responses]
        joint[:, number] = np.bincount(readings.items, weights=weights, minlength=readings.item_count)
    joint += np.log(np.maximum(shares, _TINY))
    largest = joint.max(axis=1, keepdims=True)
    scaled = np.exp(joint - largest)
    total = scaled.sum(axis=1, keepdims=True)
    evidence = (largest + np.log(total))[:, 0]
    return scaled / total, float(evidence[read].sum())
