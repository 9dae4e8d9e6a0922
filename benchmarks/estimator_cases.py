"""The estimators of rare failures and of quality on simulated items, for `benchmarks.estimators`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nines.statistics.accepted_pairs import needs_label, quality_from_needed
from nines.statistics.acquisition import accepted_among_rejected, uncertainty
from nines.statistics.agreement import cohen_kappa, krippendorff_alpha
from nines.statistics.betting_interval import betting_interval
from nines.statistics.ensembles import combine, mutual_information
from nines.statistics.label_rounds import LabelRound, rate_over_rounds
from nines.statistics.pair_sampling import label_probabilities, sampled_quality
from nines.statistics.policy_failures import policy_failures
from nines.statistics.prediction_powered import prediction_powered
from nines.statistics.quality import quality
from nines.statistics.safest_selection import quality_of_selection
from nines.statistics.sequential_quality import quality_so_far
from nines.statistics.stratified import stratified
from nines.statistics.weighted_rates import hajek, horvitz_thompson

if TYPE_CHECKING:
    from benchmarks.estimators import Items

Prepare = Callable[["Items"], Callable[[], Any]]
SIBLINGS = 10
"""Completions of a prompt where an estimator needs as many of each."""


def _shares(items: Items) -> NDArray[np.float64]:
    """One pair an item: better, tie or worse."""
    return np.where(items.positive, 1.0, np.where(items.scores < 0.02, 0.5, 0.0))


def _weighted(function: Callable[..., Any]) -> Prepare:
    def prepare(items: Items) -> Callable[[], Any]:
        chances = np.clip(1 / items.weights, 1e-3, 1.0)
        shares = np.full(len(chances), 1 / len(chances))
        return partial(function, items.positive, chances, shares=shares, clusters=items.prompts)

    return prepare


def _rounds(items: Items) -> Callable[[], Any]:
    chances, half = np.clip(1 / items.weights, 1e-3, 1.0), len(items.scores) // 2
    shares = np.full(len(chances), 1 / len(chances))
    rounds = [
        LabelRound(items.positive[part], chances[part], shares[part], importance=1.0, clusters=items.prompts[part])
        for part in (slice(0, half), slice(half, None))
    ]
    return partial(rate_over_rounds, rounds)


def _strata(items: Items) -> Callable[[], Any]:
    def estimate() -> Any:
        stratum = np.minimum((items.scores * 100).astype(np.int64), 99)
        sizes = np.bincount(stratum, minlength=100)
        events = np.bincount(stratum, weights=items.positive, minlength=100)
        return stratified(events, sizes, sizes * 10)

    return estimate


def _policy(items: Items, **more: Any) -> Callable[[], Any]:
    prompts = np.arange(len(items.scores)) // SIBLINGS
    whole = len(items.scores) - len(items.scores) % SIBLINGS
    part = slice(0, whole)
    return partial(
        policy_failures, items.scores[part], items.positive[part], prompts[part], threshold=0.1, max_tries=4, **more
    )


def _selection(items: Items) -> Callable[[], Any]:
    scores = items.scores[: len(items.scores) // SIBLINGS * SIBLINGS].reshape(-1, SIBLINGS)
    shares = 0.5 + 0.5 * np.sign(scores[:, None, :] - scores[:, :, None])
    return partial(quality_of_selection, shares, scores, threshold=0.1, batch=2, batches=2)


def _needed(items: Items) -> Callable[[], Any]:
    accepted = items.scores < 0.1

    def estimate() -> Any:
        needed = needs_label(np.ones(len(accepted), dtype=np.bool_), accepted)
        return quality_from_needed(_shares(items), needed, items.prompts)

    return estimate


def _sampled(items: Items) -> Callable[[], Any]:
    drawn = np.random.default_rng(0).random(len(items.scores))

    def estimate() -> Any:
        chances = label_probabilities(items.scores, labels=len(drawn) / 10)
        return sampled_quality(_shares(items), drawn < chances, chances, items.prompts, predictions=items.scores)

    return estimate


def _powered(items: Items) -> Callable[[], Any]:
    few = max(100, len(items.scores) // 100)
    return partial(prediction_powered, _shares(items)[:few], items.scores[:few], items.scores[few:])


def _ratings(items: Items) -> NDArray[np.float64]:
    rng = np.random.default_rng(0)
    flips = rng.random((len(items.scores), 3)) < 0.1
    ratings = (items.positive[:, None] ^ flips).astype(np.float64)
    ratings[rng.random(ratings.shape) < 0.3] = np.nan
    return ratings


def _kappa(items: Items) -> Callable[[], Any]:
    other = items.positive ^ (np.random.default_rng(0).random(len(items.scores)) < 0.1)
    return partial(cohen_kappa, items.positive, other, clusters=items.prompts)


def _members(function: Callable[..., Any]) -> Prepare:
    def prepare(items: Items) -> Callable[[], Any]:
        spread = np.random.default_rng(0).uniform(0.5, 1.0, size=(5, len(items.scores)))
        return partial(function, items.scores * spread)

    return prepare


PREPARED: dict[str, Prepare] = {
    "Horvitz-Thompson": _weighted(horvitz_thompson),
    "Hájek": _weighted(hajek),
    "two rounds of labels": _rounds,
    "stratified, 100 strata": _strata,
    "mean, betting interval": lambda items: partial(betting_interval, items.scores, largest=1.0),
    "failures of first-accepted": _policy,
    "failures of safest-of-batch": partial(_policy, batch=2),
    "quality": lambda items: partial(quality, _shares(items), items.prompts, weights=items.weights),
    "quality, both accepted skipped": _needed,
    "quality, sampled pairs": _sampled,
    "quality, confidence sequence": lambda items: partial(quality_so_far, _shares(items), items.prompts),
    "quality of safest-of-batch": _selection,
    "prediction-powered mean": _powered,
    "Cohen's kappa": _kappa,
    "Krippendorff's alpha": lambda items: partial(krippendorff_alpha, _ratings(items), clusters=items.prompts),
    "ensemble of five, mean": _members(combine),
    "mutual information of five": _members(mutual_information),
    "uncertainty": lambda items: partial(uncertainty, items.scores),
    "accepted among rejected": lambda items: partial(
        accepted_among_rejected, items.scores, items.prompts, threshold=0.1
    ),
}
"""By name, from the items to the call that is timed."""
