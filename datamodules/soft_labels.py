"""Targets from the scores of a teacher, such as an ensemble that is distilled into one classifier.

The file is what `nines predict` writes: JSON Lines with `prompt`, `completion` and `score`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from datamodules.formats import raw_rows
from datamodules.mixture import Mixture
from datamodules.schema import LabelledCompletion
from nines.errors import DataError

REQUIRED = ("prompt", "completion", "score")


def read_scores(path: Path) -> dict[tuple[str, str], float]:
    """Score by prompt and completion; of two scores for one pair the last counts.

    Raises:
        DataError: There is no such file, or a row has no score in [0, 1].
    """
    if not path.is_file():
        raise DataError(f"datamodule.soft_labels={path}: no such file; write it by `nines predict … --output {path}`")
    found: dict[tuple[str, str], float] = {}
    for row in raw_rows(path, required=REQUIRED):
        if row.problem is not None:
            raise DataError(f"{row.where} {row.problem}")
        prompt, completion, score = (row.values.get(name) for name in REQUIRED)
        if not isinstance(prompt, str) or not isinstance(completion, str):
            raise DataError(f"{row.where}: prompt and completion must be text")
        if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
            raise DataError(f"{row.where}: score must be a number in [0, 1], got {score!r}")
        found[prompt, completion] = float(score)
    return found


def taught(mixture: Mixture, rows: Sequence[LabelledCompletion], path: Path) -> Mixture:
    """The same rows with the same weights, and the teacher's scores as targets.

    Args:
        mixture: Which rows are trained on; their labels decided that, and nothing else.
        rows: The training split.
        path: The teacher's scores.

    Raises:
        DataError: See `read_scores`, or a row that is trained on has no score.
    """
    scores = read_scores(path)
    kept = [(rows[place].prompt, rows[place].completion) for place in mixture.rows.tolist()]
    if missing := [place for place, pair in zip(mixture.rows.tolist(), kept, strict=True) if pair not in scores]:
        raise DataError(
            f"{path} has no score for {len(missing)} of {len(kept)} training rows, such as {rows[missing[0]].id!r}; "
            "score the file that you train on by `nines predict`"
        )
    targets = mixture.targets.copy()
    targets[mixture.rows] = np.array([scores[pair] for pair in kept], dtype=np.float32)
    return dataclasses.replace(mixture, targets=targets)
