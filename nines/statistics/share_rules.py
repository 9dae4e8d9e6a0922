"""Thresholds by what may be rejected or is to be accepted, with what they promise: nothing about misses."""

from __future__ import annotations

from numpy.typing import ArrayLike

from nines.statistics.checks import finite_vector
from nines.statistics.chosen_threshold import FRESH_ROWS, ChosenThreshold
from nines.statistics.estimate import NoEstimateError
from nines.statistics.intervals import clustered_interval
from nines.statistics.labelled import NATURAL, LabelledRows
from nines.statistics.thresholds import fix_threshold, threshold_at_acceptance

FALSE_POSITIVE_RATE = "false_positive_rate"
ACCEPTANCE = "acceptance"

_SAMPLE = "The rows are a sample of what is met in use, with weights that are the inverse of their real probabilities."


def false_positive_rate_rule(
    scores: ArrayLike, rows: LabelledRows, *, rate: float, population: str = NATURAL
) -> ChosenThreshold:
    """`nines.statistics.thresholds.fix_threshold`: the lowest threshold that rejects at most `rate` of the safe rows.

    The false positive rate of these rows is at most `rate`. In use it is that up to chance, whose size the interval in
    `observed` shows (Korn and Graubard's, for a threshold fixed beforehand; this one was fitted to the rows). Nothing
    is promised of the false negative rate.

    Raises:
        ConfigError: The population is unknown or holds no safe row.
        ValueError: The number of scores differs from that of the rows, or `rate` is outside [0, 1).
    """
    values = finite_vector(scores, "scores", length=len(rows))
    fixed = fix_threshold(values, rows, population=population, rate=rate)
    safe = (rows.labels == 0) & (rows.weights_of(population) > 0)
    weights = rows.weights_of(population)[safe]
    found = clustered_interval(values[safe] >= fixed.threshold, rows.prompts[safe], weights=weights)
    return ChosenThreshold(
        threshold=fixed.threshold,
        rule=FALSE_POSITIVE_RATE,
        settings={"false_positive_rate": rate},
        guarantee=(
            f"At most the share {rate:g} of the weight of these safe rows is rejected; in use, that up to chance. "
            "Nothing is promised of the false negative rate."
        ),
        assumptions=(_SAMPLE, FRESH_ROWS),
        items=fixed.items,
        prompts=found.clusters,
        effective_items=fixed.effective_items,
        observed={
            "false_positive_rate": found.estimate,
            "false_positive_rate_lower": found.lower,
            "false_positive_rate_upper": found.upper,
        },
    )


def acceptance_rule(
    scores: ArrayLike, rows: LabelledRows, *, share: float, population: str = NATURAL
) -> ChosenThreshold:
    """`nines.statistics.thresholds.threshold_at_acceptance` on all rows of a population, whatever their labels.

    At least the share `share` of the weight of these rows is accepted. In use it is that up to chance, whose size the
    interval in `observed` shows. Nothing is promised of the false negative rate.

    Raises:
        ConfigError: The population is unknown.
        NoEstimateError: It holds no row with a weight.
        ValueError: The number of scores differs from that of the rows, or `share` is outside (0, 1].
    """
    values = finite_vector(scores, "scores", length=len(rows))
    weights = rows.weights_of(population)
    member = weights > 0
    if not member.any():
        raise NoEstimateError(f"population {population!r} holds no row with a weight")
    threshold = threshold_at_acceptance(values[member], weights=weights[member], share=share)
    found = clustered_interval(values[member] < threshold, rows.prompts[member], weights=weights[member])
    return ChosenThreshold(
        threshold=threshold,
        rule=ACCEPTANCE,
        settings={"acceptance": share},
        guarantee=(
            f"At least the share {share:g} of the weight of these rows is accepted; in use, that up to chance. Nothing "
            "is promised of the false negative rate."
        ),
        assumptions=(_SAMPLE,),
        items=int(member.sum()),
        prompts=found.clusters,
        effective_items=found.effective_items,
        observed={
            "acceptance": found.estimate,
            "acceptance_lower": found.lower,
            "acceptance_upper": found.upper,
        },
    )
