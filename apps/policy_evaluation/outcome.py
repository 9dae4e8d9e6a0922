"""Everything that an evaluation found: what the page shows, what `evaluation.json` holds, what TensorBoard plots."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from apps.policy_evaluation.completions import PolicyRun
from apps.policy_evaluation.figures import EVERYTHING, FailureRate, Quality
from apps.policy_evaluation.judging import FailureJudge, text_of
from apps.policy_evaluation.understanding import Understanding

SHOWN_WORST = 20


@dataclass(frozen=True)
class Outcome:
    """Figures, and what they rest on.

    Attributes:
        config: The configuration, as plain values.
        runs: The policy and the one it is held against.
        judges: Who judged failures, the most trusted first.
        rates: Failure rates.
        qualities: Quality of the first policy against the second.
        understood: How the generators go on, by policy; empty where that was not asked for.
        shares: Share of each stratum under the target distribution.
        waiting: Files of items that people have not answered yet, with how many.
        assumed: Sentences.
        unmeasured: Sentences.
    """

    config: Mapping[str, Any]
    runs: tuple[PolicyRun, PolicyRun]
    judges: Sequence[FailureJudge]
    rates: Sequence[FailureRate]
    qualities: Sequence[Quality]
    understood: Sequence[Understanding]
    shares: Mapping[str, float]
    waiting: Mapping[str, int]
    assumed: Sequence[str]
    unmeasured: Sequence[str]

    def headlines(self) -> Iterator[str]:
        """The sentences that the intervals support, over all prompts."""
        for one in self.rates:
            if one.stratum != EVERYTHING:
                continue
            if not one.delivered:
                yield f"{one.policy}: nothing was delivered."
                continue
            rate = one.rate
            yield (
                f"{one.policy}, by {one.judge}: {one.failures} of {one.delivered} delivered completions are failures, "
                f"{100 * rate.estimate:.3g} % [{100 * rate.lower:.3g}, {100 * rate.upper:.3g}]; "
                f"{one.nines_shown:.2f} nines are shown."
            )
        for quality in self.qualities:
            if quality.stratum == EVERYTHING:
                share = quality.share
                yield (
                    f"Quality by {quality.judge}: {100 * share.estimate:.3g} % "
                    f"[{100 * share.lower:.3g}, {100 * share.upper:.3g}] of comparisons, ties half; "
                    f"{self._verdict(share.lower, share.upper)}"
                )

    @staticmethod
    def _verdict(lower: float, upper: float) -> str:
        if upper < 0.5:
            return "quality was lost."
        if lower > 0.5:
            return "it is preferred."
        return "a difference is not shown."

    def costs(self) -> Iterator[dict[str, Any]]:
        """What each policy took."""
        for run in self.runs:
            yield {
                "policy": run.name,
                "tries": float(np.mean([one.tries for one in run.generations])),
                **run.cost.per_delivered(),
                "gave_up": sum(one.gave_up for one in run.generations),
                "timed_prompts": run.cost.prompts,
            }

    def worst(self) -> Iterator[dict[str, Any]]:
        """What the policy delivered with the highest scores of the most trusted judge, the worst first."""
        if not self.judges:
            return
        run = self.runs[0]
        scores = self.judges[0].scores[run.name]
        delivered = np.flatnonzero(~np.isnan(scores))
        order = delivered[np.argsort(-scores[delivered], kind="stable")][:SHOWN_WORST]
        understood = next((one for one in self.understood if one.policy == run.name), None)
        for place in order.tolist():
            row: dict[str, Any] = {
                "number": place,
                "prompt": run.generations[place].prompt,
                "completion": text_of(run, place),
                "failure": bool(self.judges[0].failed(run.name)[place]),
                "scores": {judge.name: float(judge.scores[run.name][place]) for judge in self.judges},
            }
            if understood is not None:
                row["continuation"] = understood.examples[place]
                row["implied_share"] = float(understood.shares[place])
            yield row

    def understanding(self) -> Iterator[dict[str, Any]]:
        """For each policy, how its generator takes what was delivered; failures that it does not understand apart."""
        for one in self.understood:
            seen = one.shares[~np.isnan(one.shares)]
            failed = self.judges[0].failed(one.policy)
            yield {
                "policy": one.policy,
                "continuations": one.continuations,
                "mean_share_that_implies_an_injury": float(seen.mean()) if len(seen) else None,
                "failures": int(failed.sum()),
                "failures_not_understood": [int(place) for place in np.flatnonzero(failed & (one.shares == 0))],
            }

    def as_json(self) -> dict[str, Any]:
        """All figures as JSON values."""
        return {
            "config": dict(self.config),
            "policies": list(self.costs()),
            "target": dict(self.shares),
            "judges": [
                {
                    "name": judge.name,
                    "classifier": judge.folder,
                    "threshold": judge.threshold,
                    "independent": judge.independent,
                }
                for judge in self.judges
            ],
            "waiting_for_labels": dict(self.waiting),
            "failure_rates": [one.as_json() for one in self.rates],
            "quality": [one.as_json() for one in self.qualities],
            "understanding": list(self.understanding()),
            "worst": list(self.worst()),
            "assumed": list(self.assumed),
            "not_measured": list(self.unmeasured),
        }

    def scalars(self) -> dict[str, float]:
        """Flat figures for TensorBoard, over all prompts and by stratum."""
        found: dict[str, float | None] = {}
        for rate in self.rates:
            name = f"{rate.policy}/{rate.judge}/{rate.stratum}"
            found |= {
                f"failure_rate/{name}": rate.rate.estimate,
                f"failure_rate_lower/{name}": rate.rate.lower,
                f"failure_rate_upper/{name}": rate.rate.upper,
                f"nines_shown/{name}": rate.nines_shown,
            }
        for quality in self.qualities:
            name = f"{quality.judge}/{quality.stratum}"
            found |= {
                f"quality/{name}": quality.share.estimate,
                f"quality_lower/{name}": quality.share.lower,
                f"quality_upper/{name}": quality.share.upper,
            }
        for cost in self.costs():
            found |= {f"cost/{cost['policy']}/{key}": cost[key] for key in ("tries", "seconds", "drawn_tokens")}
        return {
            name.replace(" ", "_"): value for name, value in found.items() if value is not None and math.isfinite(value)
        }
