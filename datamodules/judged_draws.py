"""Base completions of each prompt with the pairs of them that were judged: what quality at any threshold needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from datamodules.comparison_reading import read_comparisons
from datamodules.comparison_schema import Comparison
from datamodules.formats import raw_rows
from datamodules.locations import HUB, locate
from datamodules.reading import all_at_once
from datamodules.schema import GENERATED, LabelledCompletion
from nines.errors import DataError, nearest

_SHARES = {"a": 1.0, "tie": 0.5, "b": 0.0}


@dataclasses.dataclass(frozen=True)
class JudgedDraws:
    """Completions that the base policy drew, and judged pairs of them.

    Attributes:
        texts: Prompt and completion of each draw, `n` of them.
        prompts: Name of each one's prompt.
        pairs: Places of the two completions of each judged pair, and the first one's share of the judgement.
    """

    texts: list[tuple[str, str]]
    prompts: list[str]
    pairs: list[tuple[int, int, float]]


def read_judged_draws(
    comparisons: str, split: str, *, labelled: Sequence[LabelledCompletion], pool: str | None = None
) -> JudgedDraws:
    """The draws of every prompt of the split that has a judged pair.

    Labelled generated rows were picked for labelling by what they say, and the pool holds the rest, so that only both
    together are a sample of the base policy. A completion of a pair that is in neither joins them.

    Args:
        comparisons: What `datamodules.comparison_reading.read_comparisons` takes.
        split: Which split of them.
        labelled: Labelled rows of the same split; the generated ones are taken.
        pool: A file of further completions with `prompt_id` or `prompt`; None takes `unlabelled.jsonl` beside the
            comparisons.

    Raises:
        DataError: There is no such split or file, or a row has no completion.
    """
    found = read_comparisons(comparisons)
    if split not in found:
        raise DataError(f"{comparisons} has no comparisons of split {split!r}; {nearest(split, found)}")
    judged: list[Comparison] = found[split]
    texts = {row.prompt_id: row.prompt for row in judged}
    by_text = {row.prompt: row.prompt_id for row in judged}
    draws = [(row.prompt_id, row.completion) for row in labelled if row.source == GENERATED]
    draws += _pool(_pool_file(comparisons, pool), by_text)
    draws += [(row.prompt_id, text) for row in judged for text in (row.a, row.b)]
    # The same text twice is one draw here: which of two equal completions was judged cannot be told.
    places: dict[tuple[str, str], int] = {}
    for draw in draws:
        if draw[0] in texts:
            places.setdefault(draw, len(places))
    return JudgedDraws(
        texts=[(texts[prompt], completion) for prompt, completion in places],
        prompts=[prompt for prompt, _ in places],
        pairs=[
            (places[row.prompt_id, row.a], places[row.prompt_id, row.b], _SHARES[row.preference])
            for row in judged
            if row.a != row.b
        ],
    )


def _pool_file(comparisons: str, pool: str | None) -> Path:
    if pool is not None:
        file = Path(pool)
    elif comparisons.startswith(HUB):
        raise DataError(f"{comparisons} brings no further completions of its prompts; give pool=<file>")
    else:
        place = locate(comparisons)
        file = (place if place.is_dir() else place.parent) / "unlabelled.jsonl"
    if not file.is_file():
        raise DataError(f"there are no further completions at {file}; give pool=<file> with prompt_id and completion")
    return file


def _pool(file: Path, by_text: dict[str, str]) -> list[tuple[str, str]]:
    draws, problems = [], []
    for row in raw_rows(file, required=("completion",)):
        if row.problem is not None:
            problems.append(f"{row.where}: {row.problem}")
            continue
        completion, prompt = row.values.get("completion"), row.values.get("prompt_id")
        prompt = prompt if prompt is not None else by_text.get(str(row.values.get("prompt")), "")
        if not isinstance(completion, str) or not isinstance(prompt, str):
            problems.append(f"{row.where}: completion and prompt_id must be text")
            continue
        draws.append((prompt, completion))
    if problems:
        raise all_at_once(str(file), problems)
    return draws
