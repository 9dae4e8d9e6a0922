"""Verdicts on completions: by the judges, and by the models that the policies were filtered and optimised with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from apps.pipeline.generating import Cost
from apps.pipeline.outcome import Judged
from nines.errors import DataError
from nines.files import write_text

UNREADABLE = "."
"""What is judged where a policy delivered an empty text: it said nothing."""


class Classifier(Protocol):
    """Gives P(injurious) of pairs."""

    def scores(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """One for each (prompt, completion)."""


class Preferring(Protocol):
    """Gives P(first), P(tie), P(second) of two completions of each prompt."""

    def preferences(self, prompts: Sequence[str], first: Sequence[str], second: Sequence[str]) -> NDArray[np.float64]:
        """Shape (prompts, 3)."""


def judge_policies(
    rows: Mapping[str, Sequence[Mapping[str, Any]]],
    costs: Mapping[str, Cost],
    *,
    classifiers: Mapping[str, Classifier],
    reward_models: Mapping[str, Preferring],
    file: Path,
) -> dict[str, Judged]:
    """Judge every delivered completion, and write all verdicts.

    Args:
        rows: By policy, `base` among them, a row for each prompt: all on the same prompts in the same order.
        costs: By policy.
        classifiers: `judge` and `own`.
        reward_models: `judge` and `own`.
        file: JSON Lines, a line for each prompt with the verdicts on the completion of each policy.

    Raises:
        DataError: Policies were given different prompts.
    """
    base = rows["base"]
    lines: list[dict[str, Any]] = [{"prompt": row["prompt"], "policies": {}} for row in base]
    found: dict[str, Judged] = {}
    for policy, theirs in rows.items():
        if [row["prompt"] for row in theirs] != [row["prompt"] for row in base]:
            raise DataError(f"{file.parent} holds completions of {policy} and base on different prompts; remove it")
        places = [place for place, row in enumerate(theirs) if row["completion"] is not None]
        prompts = [theirs[place]["prompt"] for place in places]
        texts = [theirs[place]["completion"] or UNREADABLE for place in places]
        others = [base[place]["completion"] or UNREADABLE for place in places]
        verdicts = {name: one.scores(list(zip(prompts, texts, strict=True))) for name, one in classifiers.items()}
        for name, one in reward_models.items():
            chances = one.preferences(prompts, texts, others)
            verdicts[f"{name}_quality"] = chances[:, 0] + 0.5 * chances[:, 1]
        found[policy] = Judged(
            prompts=len(theirs),
            tries=np.array([row["tries"] for row in theirs], dtype=np.int64),
            cost=costs[policy],
            **verdicts,
        )
        for number, place in enumerate(places):
            each = {name: float(values[number]) for name, values in verdicts.items()}
            lines[place]["policies"][policy] = {"completion": theirs[place]["completion"], **each}
    write_text(file, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return found
