"""Which pairs of a filtered and an unfiltered completion need no label, and quality from the labels of the others.

Take a prompt. Let U be the unfiltered completion, drawn from the base policy, and F the filtered one: the first of
further, independent draws from the base policy that the filter accepts. `share(F, U)` is 1 where F is better, ½ for a
tie, 0 where U is better, so `share(F, U) + share(U, F) = 1`, whoever judges.

**Given that the filter would accept U as well, the pair counts one half on average.** F is distributed as the base
policy given acceptance. Given that it is accepted, so is U. Both are independent, so (F, U) and (U, F) have one
distribution: they are exchangeable. Hence E[share(F, U)] = E[share(U, F)] = 1 - E[share(F, U)] = ½. With the
probability `rejected` that the filter rejects U,

    quality = ½ (1 - rejected) + E[share(F, U); U rejected] = ½ + rejected (quality among those rejected - ½).

So a label is needed only where U is rejected. Replacing the labels of the other pairs by ½ changes no expectation and
takes their noise away: for the same width of interval it takes about `rejected` times as many pairs, and of these only
the share `rejected` needs a label: `rejected²` times the labels. What the proof uses, and where it therefore fails:

- **One rule for all.** The filter is a fixed set of accepted completions of the prompt. A threshold that falls with
  each rejection is none, nor is one that was chosen by looking at these completions.
- **First accepted.** With safest-of-batch selection F is the lowest score among several: given both are accepted, F
  is safer than U, and if safety and quality go together (or against each other) the pair does not count one half. See
  `nines.statistics.safest_selection` for by how much and for the right estimator.
- **The same base policy** for F and U. A distilled policy against its base needs all labels.
- **A judge without a side.** One that leans to what it reads first counts one half only if sides are drawn at random.
- **A budget of tries** does no harm: F given that there was one within the budget is still the base policy given
  acceptance. Where the budget ran out, F is no accepted completion (or none at all), so such pairs do need a label.
- **Coupled draws** do no harm, either: if U is the first of the very attempts that F is chosen from, an accepted U *is*
  F, a tie, and a rejected U leaves F as it was.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nines.statistics.checks import binary_vector, finite_vector, weights_or_ones
from nines.statistics.estimate import Estimate, NoEstimateError
from nines.statistics.quality import EVEN, quality


@dataclasses.dataclass(frozen=True)
class Saving:
    """What the pairs that need no label save.

    Attributes:
        pairs: How many there are.
        needed: How many of them need a label.
        rejected: Weighted share of the pairs that need one.
        same_pairs: Labels of all pairs over labels needed: the saving on the same pairs, whose interval also becomes
            narrower; infinite where none is needed.
        same_width: Labels for the same width of interval without skipping over those with it: the former times the
            ratio of variances; infinite where none is needed.
    """

    pairs: int
    needed: int
    rejected: float
    same_pairs: float
    same_width: float


def needs_label(first_accepted: ArrayLike, second_accepted: ArrayLike) -> NDArray[np.bool_]:
    """Which pairs need a judgement under first-accepted selection: all but those in which both are accepted, `(n,)`.

    Args:
        first_accepted: Whether the filter's rule accepts the delivered completion; False where it fell back, `(n,)`.
        second_accepted: Whether the same rule accepts the unfiltered completion, `(n,)`.

    Raises:
        ValueError: Shapes differ, or a value is neither 0 nor 1.
    """
    count = len(np.asarray(first_accepted))
    one = binary_vector(first_accepted, "first_accepted", length=count)
    other = binary_vector(second_accepted, "second_accepted", length=count)
    return np.asarray(~(one & other))


def quality_from_needed(
    shares: ArrayLike,
    needed: ArrayLike,
    prompts: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Quality of the filtered against the unfiltered policy from the labels of `needed` pairs; the others count ½.

    Unbiased wherever the estimate from labels of all pairs is (module docstring); its interval is that of
    `quality`, in which the known halves are ties that cost nothing.

    Args:
        shares: What the filtered completion got of each pair, in [0, 1]; those not needed are not looked at, and may
            be NaN, `(n,)`.
        needed: What `needs_label` gave, `(n,)`.
        prompts: Prompt of each pair, `(n,)`.
        weights: What each pair stands for; where only some of the needed pairs were labelled, one over the
            probability of that for the labelled, 0 for the others, `(n,)`.
        confidence: Nominal coverage in (0, 1).

    Raises:
        NoEstimateError: No pair has a weight, or needed pairs exist of which none has one.
        ValueError: A share that is needed is no number in [0, 1], or shapes differ.
    """
    values = np.asarray(shares, dtype=np.float64)
    wanted = binary_vector(needed, "needed", length=len(values))
    masses = weights_or_ones(weights, len(values))
    if wanted.any() and not (wanted & (masses > 0)).any():
        raise NoEstimateError(f"none of the {int(wanted.sum())} pairs that need a label has one")
    known = np.where(wanted & (masses > 0), values, EVEN)
    found = quality(finite_vector(known, "shares of needed pairs"), prompts, weights=masses, confidence=confidence)
    return dataclasses.replace(found, method="quality, both accepted count one half, square-and-add")


def saving(
    shares: ArrayLike, needed: ArrayLike, *, weights: ArrayLike | None = None, ties: float | None = None
) -> Saving:
    """What skipping the pairs that are both accepted saves.

    The variance of the estimate is, pair by pair, that of `share` on all pairs against that of `share` where needed
    and ½ elsewhere. Labels of the skipped pairs are unknown; as exchangeable pairs they have mean ½ and variance
    `(1 - ties) / 4`.

    Args:
        shares: Of the filtered completion; only those of needed pairs are looked at, `(n,)`.
        needed: What `needs_label` gave, `(n,)`.
        weights: What each pair stands for, `(n,)`.
        ties: Share of ties among the pairs without a label, in [0, 1]; None takes that of the labelled ones.
    """
    values = np.asarray(shares, dtype=np.float64)
    wanted = binary_vector(needed, "needed", length=len(values))
    masses = weights_or_ones(weights, len(values))
    if not (masses > 0).any():
        raise NoEstimateError("there is no pair with a positive weight")
    masses = masses / masses.sum()
    labelled = wanted & (masses > 0)
    rejected = float(masses[wanted].sum())
    count = int(wanted.sum())
    if count == 0:
        return Saving(len(values), 0, 0.0, float("inf"), float("inf"))
    known = np.where(labelled, values, EVEN)
    mean = float((masses * known).sum())
    with_skipping = float((masses * np.square(known - mean)).sum())
    tied = float(np.mean(values[labelled] == EVEN)) if ties is None else ties
    without = with_skipping + (1 - rejected) * (1 - tied) / 4
    ratio = without / with_skipping if with_skipping > 0 else float("inf")
    same_pairs = len(values) / count
    return Saving(len(values), count, rejected, same_pairs, same_pairs * ratio)
