"""How often a filtered policy would deliver each of the completions that were drawn without a filter.

A policy that draws afresh would see other completions. Which of the drawn ones it would deliver if it saw them in
random order has an exact answer, and averaging over orders makes any figure of the policy an unbiased U-statistic.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

from nines.errors import ConfigError
from nines.statistics.checks import binary_vector, finite_vector
from nines.statistics.estimate import NoEstimateError

Fallback = Literal["refuse", "safest"]


def delivery_shares(
    scores: ArrayLike,
    prompts: ArrayLike,
    *,
    threshold: float,
    max_tries: int,
    batch: int = 1,
    fallback: Fallback = "refuse",
    finished: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Chance that the policy delivers each completion when it draws without replacement from those of its prompt.

    The policy is `nines.policies.filtered.FilteredPolicy` with a fixed threshold. `batch=1` is its `first_accepted`:
    with A accepted of n completions each accepted one has `(1 - C(n - A, max_tries) / C(n, max_tries)) / A`. A larger
    batch is its `safest_of_batch`: the accepted completion of rank r by score comes out of batch g + 1 if the g
    batches before held rejected ones only, `C(n - A, g * batch) / C(n, g * batch)`, and if of the other
    `n' = n - g * batch` its batch holds it and no better one, `C(n' - r, batch - 1) / C(n', batch)`. With
    `fallback="safest"` the rejected one of rank r is delivered if all tries are rejected ones and none is better:
    `C(n - A - r, max_tries - 1) / C(n, max_tries)`. Equal scores share.

    With a label y for each, `sum(share * y)` is the U-statistic of order `max_tries` for the chance that a delivered
    completion of this prompt is injurious (Hoeffding 1948): unbiased for prompts with at least `max_tries` completions.

    Args:
        scores: P(injurious) of each unfiltered completion, `(n,)`.
        prompts: Prompt of each, `(n,)`, in any order.
        threshold: A completion is accepted if its score lies below it.
        max_tries: Completions that the policy draws at most.
        batch: Size of the batches of `safest_of_batch`; 1 for `first_accepted`.
        fallback: What happens when all tries are rejected: nothing is delivered, or the one of lowest score.
        finished: Whether each may be accepted, `(n,)`: the policy accepts no unfinished one. None accepts all.

    Returns:
        `(n,)`; the sum over a prompt is the estimated chance that anything is delivered for it.

    Raises:
        NoEstimateError: A prompt has fewer completions than the policy tries: there is no unbiased estimate.
        ConfigError: `max_tries` or `batch` is below 1.
        ValueError: Shapes differ or a score is not finite.
    """
    if max_tries < 1 or batch < 1:
        raise ConfigError(f"max_tries and batch must be at least 1, got {max_tries} and {batch}")
    values = finite_vector(scores, "scores")
    labels = np.asarray(prompts)
    if labels.shape != values.shape:
        raise ValueError(f"prompts must have shape {values.shape}, got {labels.shape}")
    whole = binary_vector(np.ones(len(values)) if finished is None else finished, "finished", length=len(values))
    names, group, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if len(names) and counts.min() < max_tries:
        raise NoEstimateError(
            f"prompt {names[counts.argmin()]} has {counts.min()} completions, and the policy tries up to {max_tries}: "
            "without that many from every prompt nothing unbiased can be said; draw more, or lower max_tries"
        )
    result = np.empty(len(values))
    by_prompt = np.argsort(group, kind="stable")
    starts = np.cumsum(counts) - counts
    for size in np.unique(counts):
        # All prompts with so many completions as one matrix.
        rows = by_prompt[starts[counts == size][:, None] + np.arange(size)]
        result[rows] = _shares(
            values[rows],
            (values[rows] < threshold) & whole[rows],
            max_tries=max_tries,
            batch=min(batch, max_tries),
            safest=fallback == "safest",
        )
    return result


def _shares(
    scores: NDArray[np.float64], accepted: NDArray[np.bool_], *, max_tries: int, batch: int, safest: bool
) -> NDArray[np.float64]:
    """The same for a matrix `(prompts, n)` of prompts with equally many completions."""
    n = scores.shape[1]
    order = np.lexsort((scores, ~accepted), axis=1)
    ordered = np.take_along_axis(scores, order, axis=1)
    taken = np.take_along_axis(accepted, order, axis=1)
    total = accepted.sum(axis=1, keepdims=True)
    place = np.arange(1, n + 1)[None, :]
    found = np.zeros(scores.shape)
    for before in range(0, max_tries, batch):
        size, left = min(batch, max_tries - before), n - before
        all_rejected = _log_choose(n - total, before) - _log_choose(n, before)
        best = _log_choose(left - place, size - 1) - _log_choose(left, size)
        found += np.where(taken, np.exp(all_rejected + best), 0.0)
    if safest:
        none_better = _log_choose(n - place, max_tries - 1) - _log_choose(n, max_tries)
        found += np.where(taken, 0.0, np.exp(none_better))
    result = np.empty_like(found)
    np.put_along_axis(result, order, _shared(found, ordered, taken), axis=1)
    return result


def _shared(
    found: NDArray[np.float64], scores: NDArray[np.float64], accepted: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Means over runs of equal scores in each row: which of equals comes first is a matter of chance."""
    new = np.ones(scores.shape, dtype=bool)
    new[:, 1:] = (scores[:, 1:] != scores[:, :-1]) | (accepted[:, 1:] != accepted[:, :-1])
    run = np.cumsum(new.ravel()) - 1
    sums, sizes = np.bincount(run, weights=found.ravel()), np.bincount(run)
    return np.asarray((sums / sizes)[run].reshape(scores.shape))


def _log_choose(n: ArrayLike, k: int) -> NDArray[np.float64]:
    """Logarithm of C(n, k), minus infinity where k lies outside [0, n]."""
    count = np.asarray(n, dtype=np.float64)
    possible = (count >= k) & (k >= 0)
    safe = np.where(possible, count, k)
    return np.where(possible, gammaln(safe + 1) - gammaln(k + 1) - gammaln(safe - k + 1), -np.inf)
