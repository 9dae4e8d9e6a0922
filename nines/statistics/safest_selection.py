"""Quality of the policies that draw in batches, safest-of-batch above all, from labels among unfiltered completions.

Under safest-of-batch the delivered completion is the lowest score of its batch, so a pair of accepted completions is
no longer exchangeable (`nines.statistics.accepted_pairs`), and labels among accepted completions are needed, too. From
m labelled draws of the base policy for a prompt, a U-statistic (Hoeffding 1948) averages over every way in which m - 1
of them could have been the policy's draws and the last one the unfiltered completion.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from nines.statistics.estimate import Estimate, NoEstimateError
from nines.statistics.intervals import kish_effective_size

FEWEST_PROMPTS = 10


def selection_weights(
    scores: ArrayLike, *, threshold: float, batch: int = 1, batches: int = 1, fallback: str = "refuse"
) -> NDArray[np.float64]:
    """How likely each draw would be delivered and each other one be the unfiltered completion, `(prompts, m, m)`.

    Entry (p, i, j) is the share of the ways to lay out disjoint batches from the draws of prompt p other than j in
    which the policy delivers i, divided by m. With g the number of draws other than j that score above i, r those
    among them that are rejected, and k the batch size, an accepted i is delivered by batch number s + 1 in

        C(r, sk) C(g - sk, k - 1)   of   C(m - 1, sk) C(m - 1 - sk, k)

    ways: the first sk draws come from the rejected, and the rest of i's batch scores above i. Summed over entries with
    labels it is an unbiased estimate of E[share; a completion is delivered], whatever m. `batch=1` is first-accepted
    selection within a budget of `batches` tries. The weights of a prompt sum to 1 with the fallback "safest", and to
    an unbiased estimate of the chance that anything is delivered with "refuse".

    Args:
        scores: P(injurious) of m draws for each prompt; equal scores go by place, the first being the safer one, as
            the policy has it, `(prompts, m)`.
        threshold: Accept if and only if the score is below it.
        batch: Draws in a batch, at least 1.
        batches: Batches at most; `batch * batches` must be at most m - 1.
        fallback: Without an accepted draw, "refuse" delivers none, "safest" the lowest score of all batches.

    Raises:
        NoEstimateError: Too few draws for a whole run of the policy beside an unfiltered completion.
        ValueError: Another argument is out of range.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 2 or not np.isfinite(values).all():
        raise ValueError(f"scores must be finite with shape (prompts, m), got {values.shape}")
    if batch < 1 or batches < 1 or fallback not in ("refuse", "safest"):
        raise ValueError("batch and batches must be at least 1, fallback 'refuse' or 'safest'")
    draws = values.shape[1]
    if batch * batches > draws - 1:
        raise NoEstimateError(
            f"{draws} draws a prompt cannot show what a policy of up to {batch * batches} draws does beside one "
            f"unfiltered completion; it takes at least {batch * batches + 1}"
        )
    order = np.argsort(values, axis=1, kind="stable")
    rank = np.argsort(order, axis=1, kind="stable")
    # above[p, i, j]: draws other than j that score above i; rejected likewise among those at or above the threshold.
    j_above = rank[:, None, :] > rank[:, :, None]
    above = (draws - 1 - rank)[:, :, None] - j_above
    accepted = values < threshold
    rejected = (~accepted).sum(axis=1)[:, None] - ~accepted
    total = np.zeros_like(above, dtype=np.float64)
    for earlier in range(0, batch * batches, batch):
        ways = special.binom(draws - 1, earlier) * special.binom(draws - 1 - earlier, batch)
        found = _choose(rejected, earlier)[:, None, :] * _choose(above - earlier, batch - 1)
        total += np.where(accepted[:, :, None], found, 0.0) / ways
    if fallback == "safest":
        # All draws of the run are rejected and i is the lowest: those above a rejected i are rejected anyway.
        found = _choose(above, batch * batches - 1) / special.binom(draws - 1, batch * batches)
        total += np.where(accepted[:, :, None], 0.0, found)
    total[:, np.arange(draws), np.arange(draws)] = 0.0
    return np.asarray(total / draws)


def quality_of_selection(
    shares: ArrayLike,
    scores: ArrayLike,
    *,
    threshold: float,
    batch: int = 1,
    batches: int = 1,
    fallback: str = "refuse",
    confidence: float = 0.95,
) -> Estimate:
    """Quality of a policy that selects in batches against the base policy, by the U-statistic of `selection_weights`.

    A run that delivers nothing is left out: the estimate is the ratio of two unbiased means over prompts, quality
    given that something is delivered (with the fallback "safest" the lower mean is 1 and the estimate unbiased).

    Args:
        shares: What draw i got against draw j of the same prompt: 1 better, ½ tie, 0 worse; `share[p, j, i]` is one
            minus it. Pairs with a weight of 0 may be NaN, and so may pairs of accepted draws if `batch` is 1, since
            they count ½ on average, `(prompts, m, m)`.
        scores: As for `selection_weights`, `(prompts, m)`; so are the other arguments.
        threshold: Accept below it.
        batch: Draws in a batch.
        batches: Batches at most.
        fallback: "refuse" or "safest".
        confidence: Nominal coverage in (0, 1); prompts are the independent units, and Student's interval is
            over them.

    Raises:
        NoEstimateError: Too few draws, no draw is ever delivered, a label is missing that has a weight, or
            fewer than ten prompts.
    """
    weights = selection_weights(scores, threshold=threshold, batch=batch, batches=batches, fallback=fallback)
    values = np.asarray(shares, dtype=np.float64)
    if values.shape != weights.shape:
        raise ValueError(f"shares must have shape {weights.shape}, got {values.shape}")
    if batch == 1:
        accepted = np.asarray(scores, dtype=np.float64) < threshold
        values = np.where(accepted[:, :, None] & accepted[:, None, :], 0.5, values)
    if missing := int((np.isnan(values) & (weights > 0)).sum()):
        raise NoEstimateError(f"{missing} pairs have no label, but the policy may deliver one of their completions")
    delivered = weights.sum(axis=(1, 2))
    if not delivered.any():
        raise NoEstimateError("no draw is accepted, so the policy delivers nothing")
    gained = np.where(weights > 0, weights * np.nan_to_num(values), 0.0).sum(axis=(1, 2))
    estimate = float(gained.sum() / delivered.sum())
    residuals = gained - estimate * delivered
    if len(residuals) < FEWEST_PROMPTS or not residuals.any():
        raise NoEstimateError(
            f"{len(residuals)} prompts, or prompts that are all alike, say too little of how prompts differ; "
            f"it takes {FEWEST_PROMPTS} that differ"
        )
    variance = len(residuals) / (len(residuals) - 1) * float(np.square(residuals).sum()) / float(delivered.sum()) ** 2
    half = float(special.stdtrit(len(residuals) - 1, (1 + confidence) / 2)) * math.sqrt(variance)
    return Estimate(
        estimate=estimate,
        lower=max(estimate - half, 0.0),
        upper=min(estimate + half, 1.0),
        confidence=confidence,
        method=f"quality, U-statistic over batches of {batch}, Student",
        items=len(residuals),
        effective_items=kish_effective_size(delivered),
    )


def bias_of_skipping(batch: int, correlation: float, *, acceptance: float = 1.0) -> float:
    """By how much quality is misjudged if pairs that are both accepted count ½ under safest-of-batch selection.

    True quality exceeds that estimate by this bias (it is negative where safer completions are worse): P(unfiltered
    accepted) times (P(delivered one better | both accepted) - ½), in a model of one prompt in which safety (minus the
    score) and quality are standard normal with a correlation, draws are independent, and batches are drawn until one
    has an accepted draw. With S the safety of the delivered and T that of the unfiltered draw,

        P(better | S = s, T = t) = Φ(correlation (s - t) / sqrt(2 (1 - correlation²))).

    Args:
        batch: Draws in a batch, k, at least 1; 1 is first-accepted selection, whose bias is 0.
        correlation: Of safety and quality, in (-1, 1).
        acceptance: Share of draws that are accepted, in (0, 1].

    Raises:
        ValueError: An argument is out of range.
    """
    if batch < 1 or not -1 < correlation < 1 or not 0 < acceptance <= 1:
        raise ValueError("batch must be at least 1, correlation in (-1, 1), acceptance in (0, 1]")
    steepness = correlation / math.sqrt(2 * (1 - correlation**2))
    # In the share u of draws that are safer: T is uniform on (0, acceptance), S the least of k uniforms, given that it
    # is below acceptance. Gauss-Legendre on both.
    nodes, masses = np.polynomial.legendre.leggauss(200)
    uniform, masses = (nodes + 1) / 2, masses / 2
    safety_unfiltered = -special.ndtri(acceptance * uniform)
    one_accepted = -np.expm1(batch * np.log1p(-acceptance)) if acceptance < 1 else 1.0
    safety_delivered = -special.ndtri(-np.expm1(np.log1p(-uniform * one_accepted) / batch))
    better = special.ndtr(steepness * (safety_delivered[:, None] - safety_unfiltered[None, :]))
    return float(acceptance * (masses @ better @ masses - 0.5))


def _choose(items: NDArray[np.int64], taken: int) -> NDArray[np.float64]:
    """Binomial coefficients, 0 where there are too few items."""
    return np.asarray(np.where(items >= taken, special.binom(np.maximum(items, 0), taken), 0.0))
