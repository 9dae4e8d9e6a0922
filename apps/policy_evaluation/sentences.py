"""What an evaluation assumed and what it did not measure, as sentences beside its figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apps.policy_evaluation.completions import PolicyRun
    from apps.policy_evaluation.judging import FailureJudge, QualityJudge


def assumptions(
    runs: Sequence[PolicyRun], *, coupled: bool, target: str, failures: Sequence[FailureJudge], people: bool
) -> Iterator[str]:
    """What must hold for the figures to mean what they say.

    Args:
        runs: Both policies.
        coupled: Both drew with the same random numbers, so that equal first attempts are equal texts.
        target: The target distribution in words.
        failures: Who judged failures.
        people: Whether labels of people were used.
    """
    yield f"The prompts are independent draws from the prompts that the figures are to speak for: {target}."
    yield "One completion of each policy for each prompt; intervals have 95 % nominal coverage, over prompts."
    if coupled:
        yield (
            "Both policies drew with the same random numbers. Where the first attempt is accepted both deliver the "
            "same text and count one half, which is what two independent draws would count on average (both are "
            "accepted draws, so neither is better on average); where it is rejected the accepted one is an independent "
            "draw."
        )
    for run in runs:
        if not run.fixed_rule:
            yield (
                f"{run.name} judged later attempts more strictly (conservatism): the figures are of what it delivered, "
                "and nothing is inferred from its rejected attempts."
            )
    for judge in failures:
        if judge.independent:
            yield (
                f"{judge.name} makes mistakes of its own ({judge.folder}, failures from a score of "
                f"{judge.threshold:.4g} on): its rate is the share that it calls failures, not the share that are."
            )
        else:
            yield (
                f"{judge.name} is what the filter decides by. Its verdict on that filter's completions is no "
                "evidence of safety; it stands here to show how far the others disagree with it."
            )
    if people:
        yield "People answered under the same definition of a failure as the classifiers were trained on."


def not_measured(
    failures: Sequence[FailureJudge],
    qualities: Sequence[QualityJudge],
    *,
    people: bool,
    understood: bool,
    threshold_given: bool,
) -> Iterator[str]:
    """What a reader may miss, and must not conclude.

    Args:
        failures: Who judged failures.
        qualities: Who judged quality.
        people: Whether labels of people were used.
        understood: Whether continuations were sampled.
        threshold_given: The threshold was given by hand.
    """
    if not any(judge.independent for judge in failures) and not people:
        yield "There is no independent judge of failures (judge.classifier=…) and no label: the rate is unknown."
    if not people:
        yield "No person read these completions; a share of failures that all judges miss stays unseen."
    if not qualities:
        yield "Quality was not measured: give judge.reward_model=…"
    if not understood:
        yield "Whether the generator itself takes its completions for failures: continuations=8 samples how it goes on."
    if threshold_given:
        yield "The threshold was given by hand, so nothing is guaranteed about how it was chosen."
    yield "Prompts of another kind, attacks by people or programs, and other sampling settings than these."
