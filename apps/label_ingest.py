"""`nines label ingest`: checks answers, merges rounds, prints the failure rate, and writes rows to train on."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.label_files import PlannedItem, read_plans, with_answers
from datamodules.schema import GENERATED
from nines.errors import DataError, UserError
from nines.files import replacing, write_json
from nines.statistics.estimate import Estimate
from nines.statistics.label_rounds import LabelRound, rate_over_rounds, round_weights
from nines.statistics.weight_checks import weight_report

COUNTED = {"yes": ("yes",), "yes or unsure": ("yes", "unsure")}


def ingest(arguments: argparse.Namespace) -> int:
    """Print the failure rate under both bounds for unsure answers, warnings, and write what was asked for."""
    if arguments.output is not None and arguments.output in (*arguments.plans, *(arguments.answers or [])):
        raise UserError(f"--output {arguments.output} is an input; give another name")
    items = read_plans(arguments.plans, answered=arguments.answers is None)
    if arguments.answers is not None:
        items = with_answers(items, arguments.answers)
    by_round = divided(items)
    print(f"{len(items)} labels in {len(by_round)} round{'s' if len(by_round) > 1 else ''}: {_counts(items)}")
    results: dict[str, Any] = {}
    bounds = COUNTED if any(item.label == "unsure" for item in items) else {"yes": ("yes",)}
    for name, counted in bounds.items():
        safe, trusting = estimates(by_round, counted, confidence=arguments.confidence)
        results[name] = {"safe": safe.as_json(), "trusting": trusting.as_json()}
        print(f"failure rate, counting {name} ({100 * arguments.confidence:g} %):")
        print(f"  {safe}  whatever the scores are worth")
        print(f"  {trusting}  if failures lie where the scores say")
    weights = np.concatenate(round_weights(as_rounds(by_round, ("yes",))))
    ordered = [item for members in by_round for item in members]
    for line in weight_report(weights, [item.label == "yes" for item in ordered]).warnings():
        print(f"Warning: {line}")
    if arguments.json is not None:
        write_json(arguments.json, {"labels": len(items), "rounds": len(by_round), "failure_rate": results})
    if arguments.output is not None:
        rows = labelled_rows(ordered, weights)
        with replacing(arguments.output) as temporary:
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            temporary.write_text("".join(lines), encoding="utf-8")
        print(f"written: {arguments.output}; `nines data check {arguments.output}` looks at it")
    return 0


def divided(items: Sequence[PlannedItem]) -> list[list[PlannedItem]]:
    """The items of each round, in the order of the rounds.

    Raises:
        DataError: A round is missing, or two plans claim to be the same one.
    """
    numbers = sorted({item.round for item in items})
    if numbers != list(range(1, len(numbers) + 1)):
        raise DataError(
            f"the plans are of rounds {', '.join(map(str, numbers))}: an estimate needs every round from 1 on, since "
            "each was drawn from what the earlier ones had left"
        )
    by_round = [[item for item in items if item.round == number] for number in numbers]
    for members in by_round:
        facts = {(item.heaviest, item.importance, item.expected_weight) for item in members}
        if len(facts) > 1:
            raise DataError(f"two plans are of round {members[0].round}; the second was made without --after the first")
    return by_round


def as_rounds(by_round: Sequence[Sequence[PlannedItem]], counted: Sequence[str]) -> list[LabelRound]:
    """The rounds as the estimator takes them, with the labels in `counted` as events."""
    names = sorted({item.prompt_id for members in by_round for item in members})
    number = {name: place for place, name in enumerate(names)}
    return [
        LabelRound(
            events=np.array([item.label in counted for item in members]),
            probabilities=np.array([item.round_probability for item in members]),
            shares=np.array([item.share for item in members]),
            importance=members[0].importance,
            heaviest=members[0].heaviest,
            clusters=np.array([number[item.prompt_id] for item in members]),
        )
        for members in by_round
    ]


def estimates(
    by_round: Sequence[Sequence[PlannedItem]], counted: Sequence[str], *, confidence: float
) -> tuple[Estimate, Estimate]:
    """The failure rate with the interval that assumes nothing of the scores, and with the one that trusts them."""
    rounds = as_rounds(by_round, counted)
    importances = np.array([one.importance for one in rounds])
    parts = importances / importances.sum()
    # Errors of rounds are uncorrelated, so variances add up with squared importances.
    weight = float((parts**2 * np.array([members[0].expected_weight for members in by_round])).sum())
    safe = rate_over_rounds(rounds, confidence=confidence)
    return safe, rate_over_rounds(rounds, trusted_weight=weight, confidence=confidence)


def labelled_rows(items: Sequence[PlannedItem], weights: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Rows of the schema of docs/data.md: generated completions with the probability that undoes the selection.

    After several rounds an item may stand for less than itself; then all probabilities are divided by the largest,
    which changes no weighted share.
    """
    chances = np.array([item.share for item in items]) / weights
    chances = chances / max(1.0, float(chances.max()))
    kept = ("id", "prompt_id", "prompt", "completion", "genre", "risk", "drawn", "score", "stratum", "round")
    return [
        {
            **{key: item.values[key] for key in kept if item.values.get(key) is not None},
            "label": item.label,
            "labels": [item.label],
            "source": GENERATED,
            "selection_probability": float(chance),
        }
        for item, chance in zip(items, chances, strict=True)
    ]


def _counts(items: Sequence[PlannedItem]) -> str:
    return ", ".join(f"{sum(item.label == label for item in items)} {label}" for label in ("yes", "no", "unsure"))
