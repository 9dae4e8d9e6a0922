"""Quality from a few human labels and many judgements by a model: corrected, so that a bad model costs only width."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from nines.statistics.checks import finite_vector
from nines.statistics.estimate import Estimate, NoEstimateError

FEWEST_LABELS = 20


def prediction_powered(
    shares: ArrayLike,
    predictions: ArrayLike,
    more_predictions: ArrayLike,
    *,
    prompts: ArrayLike | None = None,
    more_prompts: ArrayLike | None = None,
    trust: float | Literal["tuned"] = "tuned",
    confidence: float = 0.95,
) -> Estimate:
    """Mean share by prediction-powered inference (Angelopoulos et al. 2023, *Science* 382, algorithm 1), or PPI++.

    With n labelled pairs and N more that only the model has judged, the estimate is

        trust · mean(more predictions) + mean(share - trust · prediction over the labelled):

    unbiased for every fixed `trust`, whatever the model is worth. `trust` 1 is PPI; 0 is the mean of the labels alone.
    "tuned" takes the least variance, `cov(share, prediction) / ((1 + n / N) var(prediction))` (Angelopoulos, Duchi and
    Zrnic 2023, *PPI++*, example 6.1), kept within [0, 1], so that a useless model costs nothing in the limit. The
    interval is Student's over the totals of prompts, those of the labelled and of the other pairs of one prompt taken
    together; the degrees of freedom are the prompts with a label, minus one, and one more for a tuned `trust`.

    Assumes that the labelled pairs are a simple random sample of all (labels chosen with other probabilities:
    `nines.statistics.pair_sampling.sampled_quality`), and a model that has not learned from these labels. Holds from
    some 20 labels on where shares are not nearly all alike; below that it is refused.

    Args:
        shares: Human labels: 1 better, ½ tie, 0 worse, in [0, 1], `(n,)`.
        predictions: The model's P(better) + ½ P(tie) of the same pairs, in [0, 1], `(n,)`.
        more_predictions: The same of the pairs without a human label, `(N,)`.
        prompts: Prompt of each labelled pair, `(n,)`; None: each of its own.
        more_prompts: Prompt of each other pair, `(N,)`; both or none.
        trust: "tuned" or a number in [0, 1] that was fixed before the labels were seen.
        confidence: Nominal coverage in (0, 1).

    Raises:
        NoEstimateError: Fewer than 20 labels, no other pair, fewer than three prompts, or labels that are all alike
            while the model agrees: their variance is unknown then.
        ValueError: Shapes differ or values are out of range.
    """
    labels = _shares(shares, "shares")
    judged = _shares(predictions, "predictions", length=len(labels))
    more = _shares(more_predictions, "more_predictions")
    if len(labels) < FEWEST_LABELS or len(more) == 0:
        raise NoEstimateError(
            f"{len(labels)} labels and {len(more)} further judgements; it takes {FEWEST_LABELS} labels and 1 further"
        )
    if (prompts is None) != (more_prompts is None):
        raise ValueError("give prompts and more_prompts, or neither")
    group = _groups(prompts, more_prompts, len(labels), len(more))
    factor = tuned_trust(labels, judged, more) if trust == "tuned" else float(trust)
    if not 0 <= factor <= 1:
        raise ValueError(f"trust must lie in [0, 1], got {factor}")
    corrections = labels - factor * judged
    estimate = factor * float(more.mean()) + float(corrections.mean())
    residuals = np.concatenate(
        [(corrections - corrections.mean()) / len(labels), factor * (more - more.mean()) / len(more)]
    )
    totals = np.bincount(group, weights=residuals)
    informative = len(np.unique(group[: len(labels)]))
    freedom = informative - 1 - (trust == "tuned")
    variance = informative / (informative - 1) * float(np.square(totals).sum()) if informative > 1 else 0.0
    if freedom < 1 or np.ptp(corrections) == 0:
        raise NoEstimateError("labels of fewer than three prompts, or all alike: their variance is unknown")
    half = float(special.stdtrit(freedom, (1 + confidence) / 2)) * math.sqrt(variance)
    return Estimate(
        estimate=min(max(estimate, 0.0), 1.0),
        lower=min(max(estimate - half, 0.0), 1.0),
        upper=max(min(estimate + half, 1.0), 0.0),
        confidence=confidence,
        method=f"quality, prediction-powered with trust {factor:.3g}, Student",
        items=len(labels),
        effective_items=float(labels.var()) / variance,
    )


def tuned_trust(shares: NDArray[np.float64], predictions: NDArray[np.float64], more: NDArray[np.float64]) -> float:
    """The trust of least variance, in [0, 1]; 0 for predictions that are all alike."""
    spread = float(np.concatenate([predictions, more]).var(ddof=1))
    if spread == 0:
        return 0.0
    together = float(np.cov(shares, predictions)[0, 1])
    return min(max(together / ((1 + len(shares) / len(more)) * spread), 0.0), 1.0)


def _groups(prompts: ArrayLike | None, more_prompts: ArrayLike | None, count: int, more: int) -> NDArray[np.int64]:
    if prompts is None or more_prompts is None:
        return np.arange(count + more)
    one, other = np.asarray(prompts), np.asarray(more_prompts)
    if one.shape != (count,) or other.shape != (more,):
        raise ValueError(f"prompts must have shapes ({count},) and ({more},), got {one.shape} and {other.shape}")
    return np.asarray(np.unique(np.concatenate([one, other]), return_inverse=True)[1], dtype=np.int64)


def _shares(values: ArrayLike, name: str, *, length: int | None = None) -> NDArray[np.float64]:
    found = finite_vector(values, name, length=length)
    if ((found < 0) | (found > 1)).any():
        raise ValueError(f"{name} must lie in [0, 1]")
    return found
