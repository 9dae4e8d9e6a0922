"""Who learns from which prompts: nobody from those of another, and nobody from those that are held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from apps.pipeline.trainings import PlannedRun, TrainedOn, trained_on
from datamodules.prompt_files import read_prompts
from datamodules.schema import normalised
from nines.errors import ConfigError

HELD_OUT = ("valid", "test")


def divide(runs: Mapping[str, Mapping[str, PlannedRun]], *, path: str) -> dict[str, Any]:
    """Ask every training what it trains on, and refuse shares that overlap.

    Args:
        runs: By who learns (generator, classifier, judges, ppo), the runs by their names.
        path: Where the prompts are.

    Returns:
        `{"learners": {learner: {"prompts": n, "runs": {run: {"rows": n, "prompts": n}}}}, "held_out": {split: n}}`.

    Raises:
        ConfigError: A prompt belongs to two learners, or is held out and trained on.
    """
    found = {learner: {name: trained_on(run) for name, run in theirs.items()} for learner, theirs in runs.items()}
    splits = read_prompts(path)
    held_out = {split: [prompt.text for prompt in splits.get(split, [])] for split in HELD_OUT}
    check_disjoint({**{learner: _prompts(each) for learner, each in found.items()}, **held_out})
    return {
        "learners": {
            learner: {
                "prompts": len({normalised(prompt) for prompt in _prompts(each)}),
                "runs": {name: {"rows": one.rows, "prompts": len(one.prompts)} for name, one in each.items()},
            }
            for learner, each in found.items()
        },
        "held_out": {split: len(prompts) for split, prompts in held_out.items()},
    }


def check_disjoint(prompts: Mapping[str, Sequence[str]]) -> None:
    """Do nothing if no prompt, up to case and white space, stands under two names.

    Raises:
        ConfigError: One does; with its beginning.
    """
    texts = {name: {normalised(prompt) for prompt in each} for name, each in prompts.items()}
    for first, second in combinations(texts, 2):
        if common := sorted(texts[first] & texts[second]):
            raise ConfigError(
                f"{first} and {second} have {len(common)} prompts in common, such as {common[0][:60]!r}: figures would "
                "flatter; choose demo.shares that do not overlap, and leave datamodule.share to them"
            )


def _prompts(runs: Mapping[str, TrainedOn]) -> list[str]:
    return [prompt for one in runs.values() for prompt in one.prompts]
