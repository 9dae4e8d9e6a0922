"""Spends a budget of labels on what the policies delivered, and makes failure rates of the answers.

The items to label are files as those of `nines label plan`, one for each policy, with the probabilities with which they
were drawn: `nines label ingest` reads them, too. They are drawn once; the same evaluation again finds them, and the
answers in them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from apps.label_ingest import COUNTED, as_rounds
from apps.policy_evaluation.figures import EVERYTHING, FailureRate, Strata
from apps.policy_evaluation.judging import text_of
from datamodules.label_files import PlannedItem, read_plans
from datamodules.schema import short_hash
from nines.files import replacing
from nines.statistics.label_plan import plan_round
from nines.statistics.label_rounds import rate_over_rounds

if TYPE_CHECKING:
    from apps.policy_evaluation.completions import PolicyRun
    from apps.policy_evaluation.judging import FailureJudge


@dataclass(frozen=True)
class PeoplesVerdict:
    """What people said of one policy's completions.

    Attributes:
        file: The items, with their answers as far as they have come.
        waiting: How many have no answer yet.
        rates: Failure rates, once all are answered: by the sure answers, and with the unsure ones counted as failures.
    """

    file: Path
    waiting: int
    rates: Sequence[FailureRate]


def ask_people(
    run: PolicyRun, judge: FailureJudge | None, strata: Strata, *, budget: int, seed: int, file: Path
) -> PeoplesVerdict:
    """Draw what to label, or read what was drawn and answered before.

    Items are drawn where `judge` expects failures, and with a floor everywhere; evenly without a judge.

    Args:
        run: The policy.
        judge: The most trusted judge of failures, if there is any.
        strata: Which prompts count how much.
        budget: Labels for this policy, at least 1; no more than it delivered are asked for.
        seed: Of the draw.
        file: JSON Lines of the items.

    Raises:
        DataError: The file is damaged or an answer is none of yes, no, unsure: each with its line.
    """
    delivered = [place for place, one in enumerate(run.generations) if one.chosen is not None]
    delivered = [place for place in delivered if strata.weights[place] > 0]
    if not delivered:
        return PeoplesVerdict(file, 0, ())
    if not file.exists():
        _plan(run, judge, strata, delivered, budget=budget, seed=seed, file=file)
    items = read_plans([file], answered=False)
    waiting = sum(item.label == "" for item in items)
    refused = 1.0 - float(strata.weights[delivered].sum() / strata.weights.sum())
    rates = [] if waiting else [_rate(run.name, items, name, refused) for name in _bounds(items)]
    return PeoplesVerdict(file, waiting, rates)


def _plan(
    run: PolicyRun,
    judge: FailureJudge | None,
    strata: Strata,
    delivered: Sequence[int],
    *,
    budget: int,
    seed: int,
    file: Path,
) -> None:
    shares = strata.weights[delivered] / strata.weights[delivered].sum()
    scores = np.full(len(delivered), 0.5) if judge is None else judge.scores[run.name][list(delivered)]
    asked = min(budget, len(delivered))
    plan = plan_round(
        scores, budget=asked, method="uniform" if judge is None else "proportional", seed=seed, shares=shares
    )
    rows: list[dict[str, Any]] = [
        {
            "id": f"{file.stem}-{delivered[place]}",
            "prompt_id": short_hash(run.generations[delivered[place]].prompt),
            "prompt": run.generations[delivered[place]].prompt,
            "completion": text_of(run, delivered[place]),
            "label": None,
            "score": float(scores[place]),
            "stratum": int(plan.strata[place]),
            "round": 1,
            "seed": seed,
            "round_probability": float(plan.probabilities[place]),
            "share": float(shares[place]),
            "drawn": 1,
            "heaviest": plan.heaviest,
            "expected_weight": plan.expected_weight,
            "importance": asked,
        }
        for place in plan.drawn.tolist()
    ]
    with replacing(file) as temporary:
        temporary.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def _bounds(items: Sequence[PlannedItem]) -> list[str]:
    return list(COUNTED) if any(item.label == "unsure" for item in items) else ["yes"]


def _rate(policy: str, items: Sequence[PlannedItem], counted: str, refused: float) -> FailureRate:
    labels = COUNTED[counted]
    failures = sum(item.label in labels for item in items)
    return FailureRate(
        policy=policy,
        judge="people" if counted == "yes" else "people, unsure as failures",
        stratum=EVERYTHING,
        rate=rate_over_rounds(as_rounds([items], labels)),
        failures=failures,
        delivered=len(items),
        refused=refused,
    )
