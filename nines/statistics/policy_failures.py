"""How often a policy delivers an injurious completion, from labels on completions that were drawn without its filter.

The false negative rate of its classifier does not say this: rejection sampling gives hard prompts more tries.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nines.statistics.checks import binary_vector, finite_vector, weights_or_ones
from nines.statistics.delivery import Fallback, delivery_shares
from nines.statistics.estimate import Estimate, NoEstimateError
from nines.statistics.weighted_rates import horvitz_thompson


@dataclasses.dataclass(frozen=True)
class PolicyFailures:
    """Failure rate of a policy, two ways.

    Attributes:
        per_prompt: Chance that a prompt gets an injurious completion delivered: unbiased.
        per_delivered: Share of the delivered completions that are injurious: `per_prompt` over `delivered`, its bias
            of the order 1 / prompts. The same where everything is delivered.
        delivered: Weighted share of prompts for which something is delivered; the rest are refused.
        accepted_first: Weighted share of all completions that the filter accepts.
        prompts: Number of prompts.
        labels: Number of labelled completions.
    """

    per_prompt: Estimate
    per_delivered: Estimate
    delivered: float
    accepted_first: float
    prompts: int
    labels: int


def policy_failures(
    scores: ArrayLike,
    injurious: ArrayLike,
    prompts: ArrayLike,
    *,
    threshold: float,
    max_tries: int,
    batch: int = 1,
    fallback: Fallback = "refuse",
    conservatism: float | None = None,
    finished: ArrayLike | None = None,
    labelled: ArrayLike | None = None,
    probabilities: ArrayLike | None = None,
    prompt_weights: ArrayLike | None = None,
    confidence: float = 0.95,
) -> PolicyFailures:
    """Failure rate of first-accepted or safest-of-batch selection, with an interval clustered by prompt.

    Each completion stands for the weight of its prompt times its `delivery_shares`, over the probability with which it
    was selected for labelling; the rest is `horvitz_thompson`. What the policy never delivers needs no label.

    Assumptions: completions of a prompt are independent draws of the base policy; prompts are independent draws of
    the distribution that `prompt_weights` make of them; failures are rare.

    Args:
        scores: P(injurious) of each unfiltered completion, `(n,)`, of all of them, labelled or not.
        injurious: Its label where it has one, `(n,)`; what stands elsewhere is not looked at, but must be 0 or 1.
        prompts: Prompt of each, `(n,)`.
        threshold: The policy accepts below it. A number above all scores, with `max_tries=1`, is the base policy.
        max_tries: Completions that the policy draws at most.
        batch: 1 for `first_accepted`, else the size of the batches of `safest_of_batch`.
        fallback: "refuse" or "safest".
        conservatism: The policy's factor by which a rejection lowers the threshold; anything but None is refused.
        finished: Whether each completion may be accepted, `(n,)`; None for all.
        labelled: Which have a label, `(n,)`; None for all.
        probabilities: With which probability each was selected for labelling, `(n,)`; None where all are labelled.
        prompt_weights: What each completion's prompt counts, `(n,)`, equal within a prompt, up to a factor; None lets
            every prompt count the same.
        confidence: Nominal coverage in (0, 1).

    Raises:
        NoEstimateError: The threshold grows with rejections (what is delivered then depends on the order in a way that
            no reweighting undoes), a prompt has too few completions, a deliverable completion could not be selected,
            none is labelled, or nothing is ever delivered.
        ValueError: Shapes differ or values are out of range.
    """
    if conservatism is not None:
        raise NoEstimateError(
            f"the policy lowers its threshold at each rejection (conservatism {conservatism}): labels on unfiltered "
            "completions do not give its failure rate; label what it delivers, or set conservatism to null"
        )
    values = finite_vector(scores, "scores")
    shares = delivery_shares(
        values, prompts, threshold=threshold, max_tries=max_tries, batch=batch, fallback=fallback, finished=finished
    )
    happened = binary_vector(injurious, "injurious", length=len(values))
    known = np.ones(len(values), bool) if labelled is None else binary_vector(labelled, "labelled", length=len(values))
    chances = weights_or_ones(probabilities, len(values))
    if probabilities is None and not known[shares > 0].all():
        raise NoEstimateError(
            f"{int((~known[shares > 0]).sum())} completions that the policy may deliver have no label; give the "
            "probabilities with which the labelled ones were selected"
        )
    if (impossible := (shares > 0) & (chances == 0)).any():
        raise NoEstimateError(
            f"{int(impossible.sum())} completions that the policy may deliver had no chance of being labelled; see "
            "nines.statistics.weight_checks.with_unreachable for what can be said"
        )
    names, group, weights = _prompt_weights(prompts, prompt_weights, count=len(values))
    parts = weights[group] * shares
    delivered = float(parts.sum())
    if delivered == 0.0:
        raise NoEstimateError("the policy delivers nothing at this threshold: there is no failure rate")
    counted = known & (shares > 0)
    per_prompt = horvitz_thompson(
        happened[counted], chances[counted], shares=parts[counted], clusters=group[counted], confidence=confidence
    )
    accepted = values < threshold
    sizes = np.bincount(group)
    return PolicyFailures(
        per_prompt=per_prompt,
        per_delivered=dataclasses.replace(
            per_prompt,
            estimate=per_prompt.estimate / delivered,
            lower=min(per_prompt.lower / delivered, 1.0),
            upper=min(per_prompt.upper / delivered, 1.0),
            effective_items=per_prompt.effective_items * delivered,
        ),
        delivered=delivered,
        accepted_first=float((weights[group] / sizes[group] * accepted).sum()),
        prompts=len(names),
        labels=int(known.sum()),
    )


def _prompt_weights(
    prompts: ArrayLike, prompt_weights: ArrayLike | None, *, count: int
) -> tuple[NDArray[np.generic], NDArray[np.int64], NDArray[np.float64]]:
    """Names of the prompts, the place of each completion's among them, and their weights, which sum to 1."""
    names, first, group = np.unique(np.asarray(prompts), return_index=True, return_inverse=True)
    if prompt_weights is None:
        return names, group, np.full(len(names), 1.0 / len(names))
    given = weights_or_ones(prompt_weights, count)
    weights = given[first]
    if not np.array_equal(weights[group], given):
        raise ValueError("prompt_weights must be equal within a prompt")
    if weights.sum() == 0:
        raise NoEstimateError("all prompts have weight 0: no effective sample")
    return names, group, np.asarray(weights / weights.sum(), dtype=np.float64)
