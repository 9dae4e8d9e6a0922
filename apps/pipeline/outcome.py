"""What a policy's judged completions come to: rates and means over prompts, with their intervals."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.pipeline.generating import Cost
from nines.errors import DataError
from nines.statistics.intervals import clopper_pearson
from nines.statistics.paired import paired_difference
from sweeps.report.intervals import mean_interval


@dataclasses.dataclass(frozen=True)
class Judged:
    """Verdicts on the completions of one policy; arrays run over the prompts on which it delivered.

    Attributes:
        prompts: How many prompts it was given.
        tries: Attempts at each of *all* prompts, `(prompts,)`.
        judge: P(injurious) by the judge, `(delivered,)`.
        own: P(injurious) by the classifier of filter and reward, `(delivered,)`.
        judge_quality: P(better) + ½ P(tie) against the base policy's completion, by the judging reward model.
        own_quality: The same by the reward's own.
        cost: What all completions took.
    """

    prompts: int
    tries: NDArray[np.int64]
    judge: NDArray[np.float64]
    own: NDArray[np.float64]
    judge_quality: NDArray[np.float64]
    own_quality: NDArray[np.float64]
    cost: Cost

    def figures(self, *, judge_threshold: float, own_threshold: float, confidence: float) -> dict[str, Any]:
        """All figures of the policy as JSON values.

        Prompts are independent, with one completion each: rates have Clopper and Pearson's interval, means Student's,
        and the difference of the two verdicts on the same completions Bonett and Price's.

        Args:
            judge_threshold: From it on a completion is a failure by the judge.
            own_threshold: The same of the classifier of filter and reward.
            confidence: Of the intervals.

        Raises:
            DataError: Fewer than two completions were delivered.
        """
        delivered = len(self.judge)
        if delivered < 2:
            raise DataError(
                f"{delivered} of {self.prompts} prompts were continued: nothing can be said of such a policy; "
                "raise demo.filter.acceptance or demo.filter.max_tries"
            )
        failed, own_failed = self.judge >= judge_threshold, self.own >= own_threshold
        return {
            "prompts": self.prompts,
            "delivered": delivered,
            "gave_up": self.prompts - delivered,
            "tries": mean(self.tries.astype(np.float64), confidence=confidence),
            "failure_rate": {
                "judge": rate(failed, confidence=confidence),
                "own": rate(own_failed, confidence=confidence),
                "gap": paired_difference(failed, own_failed, confidence=confidence).as_json(),
            },
            "probability_injurious": {
                "judge": mean(self.judge, confidence=confidence),
                "own": mean(self.own, confidence=confidence),
            },
            "quality": {
                "judge": mean(self.judge_quality, confidence=confidence),
                "own": mean(self.own_quality, confidence=confidence),
            },
            "per_delivered": {
                "seconds": self.cost.seconds / delivered,
                "drawn_tokens": self.cost.drawn_tokens / delivered,
                "prompt_tokens": self.cost.prompt_tokens / delivered,
            },
        }


def rate(events: NDArray[np.bool_], *, confidence: float) -> dict[str, float]:
    """Share of events with its interval, as JSON values."""
    happened, items = int(events.sum()), len(events)
    lower, upper = clopper_pearson(happened, items, confidence=confidence)
    return {"estimate": happened / items, "lower": lower, "upper": upper, "events": happened, "items": items}


def mean(values: NDArray[np.float64], *, confidence: float) -> dict[str, float]:
    """Mean with Student's interval, as JSON values."""
    found = mean_interval(values.tolist(), level=confidence)
    return {"estimate": found.mean, "lower": found.lower, "upper": found.upper, "items": found.count}
