"""What a rule that chooses a threshold gives back: the threshold, and exactly what is promised of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class ChosenThreshold:
    """A threshold with its guarantee.

    Attributes:
        threshold: Accept a completion if and only if its score is below this.
        rule: Name of the rule, as `nines calibrate` knows it.
        settings: What the rule was asked for, such as alpha.
        guarantee: What is promised, as a sentence.
        assumptions: Under which conditions, a sentence each.
        items: How many labelled completions it rests on.
        prompts: From how many prompts they come.
        effective_items: How many independent, equally weighted ones would carry as much information.
        observed: What the threshold does on the rows that it was chosen on, by name; optimistic, for it was fitted.
    """

    threshold: float
    rule: str
    settings: Mapping[str, float]
    guarantee: str
    assumptions: tuple[str, ...]
    items: int
    prompts: int
    effective_items: float
    observed: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON values; a float survives the round trip exactly."""
        return {**dataclasses.asdict(self), "assumptions": list(self.assumptions)}


EXCHANGEABLE_PROMPTS = (
    "The prompts met in use and those of the calibration rows are exchangeable draws from one distribution. "
    "Completions of one prompt may depend on each other in any way."
)
EXCHANGEABLE_ITEMS = (
    "The injurious completions met in use and those of the calibration rows are exchangeable, and each stands alone: "
    "no two share a prompt."
)
INDEPENDENT_PROMPTS = (
    "The prompts of the calibration rows are independent draws from the distribution met in use. Completions of one "
    "prompt may depend on each other in any way."
)
INDEPENDENT_ITEMS = (
    "The injurious completions of the calibration rows are independent draws from those met in use, and each stands "
    "alone: no two share a prompt."
)
FRESH_ROWS = (
    "The classifier never saw the calibration rows, nor were they used to choose its checkpoint or settings. (The "
    "validation split of a run or sweep chose them: then the promise is a little too good.)"
)
RIGHT_LABELS = "The labels are right, and the weights are the inverse of the probabilities that were really used."


def weight_bound(largest: float, *, given: bool) -> str:
    """The assumption about the largest weight of one prompt's injurious completions."""
    if given:
        return f"No prompt's injurious completions weigh more than {largest:.6g}, as was stated beforehand."
    return (
        f"No prompt's injurious completions weigh more than {largest:.6g}, the most that was seen here. That bound was "
        "taken from the rows themselves, so with unequal weights the guarantee is approximate."
    )
