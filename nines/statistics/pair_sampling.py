"""Quality where only some pairs are labelled, chosen with known, unequal probabilities: which, and what follows.

Prompts and pairs may each be sampled; the probability of a pair is the product. Horvitz-Thompson needs the size of
the pool and is unbiased; Hájek divides by the weights' own sum and is the less variable where shares do not vary with
the probabilities.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from nines.statistics.checks import binary_vector, finite_vector
from nines.statistics.estimate import Estimate, NoEstimateError
from nines.statistics.quality import EVEN, quality

FEWEST_LABELS = 10


def label_probabilities(predictions: ArrayLike, *, labels: float, floor: float = 0.2) -> NDArray[np.float64]:
    """With which probability to ask for each pair's label so that quality is estimated best, `(n,)`.

    The variance of the difference estimator of `sampled_quality` is least where probabilities are proportional to the
    root of the expected squared residual (Särndal, Swensson and Wretman 1992, *Model Assisted Survey Sampling*,
    section 12.2); a prediction p that is right leaves `p (1 - p)`. Since predictions are not right, no pair gets less
    than `floor` of what equal probabilities would give it: that bounds every weight.

    Args:
        predictions: A judge's P(better) + ½ P(tie) of the first completion, in [0, 1], `(n,)`.
        labels: Expected number of labels, in (0, n].
        floor: In (0, 1]; 1 samples all pairs alike.

    Raises:
        ValueError: An argument is out of range.
    """
    chances = _shares(predictions, "predictions")
    if not 0 < labels <= len(chances) or not 0 < floor <= 1:
        raise ValueError(f"labels must lie in (0, {len(chances)}] and floor in (0, 1], got {labels} and {floor}")
    spread = np.sqrt(chances * (1 - chances))
    equal = labels / len(chances)
    if spread.sum() == 0:
        return np.full(len(chances), equal)
    wanted = floor * equal + (1 - floor) * labels * spread / spread.sum()
    # Above 1 there is nothing to gain: what is left over goes to the others in proportion.
    for _ in range(len(chances)):
        certain = wanted >= 1
        missing = labels - np.minimum(wanted, 1).sum()
        if missing <= 1e-9 * labels or certain.all():
            break
        wanted = np.where(certain, 1.0, wanted * (1 + missing / wanted[~certain].sum()))
    return np.asarray(np.minimum(wanted, 1.0))


def sampled_quality(
    shares: ArrayLike,
    sampled: ArrayLike,
    probabilities: ArrayLike,
    prompts: ArrayLike,
    *,
    predictions: ArrayLike | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Quality over a pool of pairs from labels of a sample of it: Horvitz-Thompson, or the difference estimator.

    The mean over the pool of `prediction + sampled (share - prediction) / probability` (Horvitz and Thompson 1952;
    Särndal, Swensson and Wretman 1992, section 6.3), with prediction ½ for None: unbiased whatever the predictions,
    if probabilities are those that were used and none is 0. The interval is Student's over the totals of prompts, so
    it speaks for the prompts that the pool was drawn from; it holds with some tens of labels and weights that differ
    by a factor of ten or so, not with a few huge weights. Pairs that need no label (`accepted_pairs`) are in the pool
    with prediction ½ and probability 1, `sampled` being True with share ½.

    Args:
        shares: Of each pair, in [0, 1]; looked at only where `sampled`, `(n,)`.
        sampled: Whether each pair of the pool was labelled, each independently (Poisson sampling), `(n,)`.
        probabilities: With which probability each would be, in (0, 1], `(n,)`.
        prompts: Prompt of each pair, `(n,)`.
        predictions: A judge's P(better) + ½ P(tie); fixed before the labels were seen, `(n,)`.
        confidence: Nominal coverage in (0, 1).

    Raises:
        NoEstimateError: A probability is 0, fewer than two prompts, or fewer than ten labels among the sampled.
        ValueError: Shapes differ or values are out of range.
    """
    chosen = binary_vector(sampled, "sampled", length=len(np.asarray(sampled)))
    chances = finite_vector(probabilities, "probabilities", length=len(chosen))
    if (chances > 1).any() or (chances < 0).any():
        raise ValueError("probabilities must lie in (0, 1]")
    if (chances == 0).any():
        raise NoEstimateError(f"{int((chances == 0).sum())} pairs could never be sampled, so nothing speaks for them")
    if chosen.sum() < FEWEST_LABELS:
        raise NoEstimateError(
            f"{int(chosen.sum())} labels are too few for Student's interval; {FEWEST_LABELS} at least"
        )
    guesses = np.full(len(chosen), EVEN) if predictions is None else _shares(predictions, "predictions")
    values = _shares(np.where(chosen, shares, guesses), "shares")
    _, group = np.unique(np.asarray(prompts), return_inverse=True)
    if len(group) != len(chosen) or len(guesses) != len(chosen):
        raise ValueError("shares, sampled, probabilities, predictions and prompts must have one length")
    terms = guesses + np.where(chosen, (values - guesses) / chances, 0.0)
    estimate = float(terms.mean())
    totals = np.bincount(group, weights=terms - estimate)
    if len(totals) < 2:
        raise NoEstimateError("a single prompt says nothing of how prompts differ")
    variance = len(totals) / (len(totals) - 1) * float(np.square(totals).sum()) / len(terms) ** 2
    # Student's with as many degrees of freedom as prompts that carry a label which is not known beforehand.
    informative = len(np.unique(group[chosen]))
    half = float(special.stdtrit(max(min(informative, len(totals)) - 1, 1), (1 + confidence) / 2)) * math.sqrt(variance)
    spread = float(np.square(terms - estimate).mean())
    return Estimate(
        estimate=min(max(estimate, 0.0), 1.0),
        lower=min(max(estimate - half, 0.0), 1.0),
        upper=max(min(estimate + half, 1.0), 0.0),
        confidence=confidence,
        method="quality, " + ("Horvitz-Thompson" if predictions is None else "difference estimator") + ", Student",
        items=int(chosen.sum()),
        effective_items=spread / variance if variance > 0 else float(len(totals)),
    )


def hajek_quality(
    shares: ArrayLike, probabilities: ArrayLike, prompts: ArrayLike, *, confidence: float = 0.95
) -> Estimate:
    """Quality from labelled pairs alone, each weighted by one over its probability (Hájek 1971).

    Args:
        shares: Of the labelled pairs, in [0, 1], `(n,)`.
        probabilities: With which each was chosen, in (0, 1], or anything in proportion to it, `(n,)`.
        prompts: Prompt of each, `(n,)`.
        confidence: Nominal coverage in (0, 1).

    Raises:
        NoEstimateError: A probability is 0, or there is no pair.
    """
    chances = finite_vector(probabilities, "probabilities")
    if (chances <= 0).any():
        raise NoEstimateError("a labelled pair has probability 0, so the probabilities are not those that were used")
    found = quality(shares, prompts, weights=1 / chances, confidence=confidence)
    return dataclasses.replace(found, method="quality, Hájek, square-and-add")


def _shares(values: ArrayLike, name: str) -> NDArray[np.float64]:
    found = finite_vector(values, name)
    if ((found < 0) | (found > 1)).any():
        raise ValueError(f"{name} must lie in [0, 1]")
    return found
