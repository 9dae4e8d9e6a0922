"""The figures of an evaluation: failure rates and quality, over all prompts and by stratum, each with its interval."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nines.statistics.estimate import Estimate
from nines.statistics.intervals import clustered_interval
from nines.statistics.quality import quality

if TYPE_CHECKING:
    from apps.policy_evaluation.completions import PolicyRun
    from apps.policy_evaluation.judging import FailureJudge, QualityJudge

EVERYTHING = "all prompts"


@dataclass(frozen=True)
class Strata:
    """Which prompts count how much.

    Attributes:
        names: Stratum of each prompt, `(prompts,)`.
        weights: Weight of each prompt under the target distribution, `(prompts,)`, summing to 1.
        clusters: Number of each prompt's cluster: equal prompts are one, `(prompts,)`.
    """

    names: NDArray[np.str_]
    weights: NDArray[np.float64]
    clusters: NDArray[np.int64]

    def parts(self) -> Iterator[tuple[str, NDArray[np.float64]]]:
        """All prompts by their weights, then each stratum by itself (none where there is only one)."""
        yield EVERYTHING, self.weights
        known = [str(name) for name in np.unique(self.names)]
        for name in known if len(known) > 1 else []:
            yield name, np.where(self.names == name, self.weights, 0.0)


@dataclass(frozen=True)
class FailureRate:
    """How often what a policy delivers is a failure, by one judge.

    Attributes:
        policy: Name of the policy.
        judge: Name of the judge.
        stratum: Over which prompts.
        rate: Share of the delivered completions that are failures.
        failures: How many are.
        delivered: Of how many.
        refused: Weighted share of the prompts to which nothing was delivered: no failure, but no completion either.
    """

    policy: str
    judge: str
    stratum: str
    rate: Estimate
    failures: int
    delivered: int
    refused: float

    @property
    def nines(self) -> float:
        """-log10 of the rate: 2 is one failure in a hundred; infinite where none was seen."""
        return math.inf if self.rate.estimate == 0 else -math.log10(self.rate.estimate)

    @property
    def nines_shown(self) -> float:
        """-log10 of the upper end: so many nines are shown with the interval's confidence."""
        return -math.log10(self.rate.upper)

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {
            "policy": self.policy,
            "judge": self.judge,
            "stratum": self.stratum,
            "failure_rate": self.rate.as_json(),
            "failures": self.failures,
            "delivered": self.delivered,
            "refused": self.refused,
            "nines": self.nines if math.isfinite(self.nines) else None,
            "nines_shown": self.nines_shown,
        }


@dataclass(frozen=True)
class Quality:
    """P(better) + ½ P(tie) of the policy against the other one, by one judge.

    Attributes:
        judge: Name of the judge.
        stratum: Over which prompts.
        share: ½ says that a reader would not know which to take.
        equal: Weighted share of the prompts for which both delivered the same text: exactly ½, nobody need read them.
    """

    judge: str
    stratum: str
    share: Estimate
    equal: float

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {"judge": self.judge, "stratum": self.stratum, "quality": self.share.as_json(), "equal": self.equal}


def failure_rates(runs: Sequence[PolicyRun], judges: Sequence[FailureJudge], strata: Strata) -> list[FailureRate]:
    """Of every policy by every judge, over all prompts and by stratum.

    One completion a prompt: Clopper and Pearson's interval where prompts weigh the same, Korn and Graubard's else.
    """
    found = []
    for run in runs:
        delivered = np.array([one.chosen is not None for one in run.generations])
        for judge in judges:
            failed = judge.failed(run.name)
            for stratum, weights in strata.parts():
                counted = np.where(delivered, weights, 0.0)
                interval = clustered_interval(failed, strata.clusters, weights=counted)
                rate = Estimate(
                    estimate=interval.estimate,
                    lower=interval.lower,
                    upper=interval.upper,
                    confidence=0.95,
                    method="Hájek share, Korn-Graubard interval",
                    items=int((counted > 0).sum()),
                    effective_items=interval.effective_items,
                )
                found.append(
                    FailureRate(
                        policy=run.name,
                        judge=judge.name,
                        stratum=stratum,
                        rate=rate,
                        failures=int(failed[counted > 0].sum()),
                        delivered=int((counted > 0).sum()),
                        refused=float(weights[~delivered].sum() / weights.sum()),
                    )
                )
    return found


def qualities(policy: PolicyRun, against: PolicyRun, judges: Sequence[QualityJudge], strata: Strata) -> list[Quality]:
    """Of the policy against the other one, by every judge, over all prompts and by stratum."""
    equal = np.array(
        [
            own.chosen is not None and other.chosen is not None and own.chosen.text == other.chosen.text
            for own, other in zip(policy.generations, against.generations, strict=True)
        ]
    )
    return [
        Quality(
            judge=judge.name,
            stratum=stratum,
            share=quality(judge.wins, strata.clusters, weights=weights),
            equal=float(weights[equal].sum() / weights.sum()),
        )
        for judge in judges
        for stratum, weights in strata.parts()
    ]
