"""`nines quality judge`: let a reward model, stored answers, or a function of one's own judge the pairs of a plan."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from apps.quality_files import read_plan, write_rows
from nines.errors import UserError

if TYPE_CHECKING:
    from nines.judges import Judge


def run(arguments: argparse.Namespace) -> int:
    """Judge every pair that needs a label, asked for or not, and write what completion a got."""
    pairs, _ = read_plan(arguments.plan)
    name, judge = chosen(arguments)
    wanted = [one for one in pairs if one.known is None]
    shares = judge([one.prompt for one in wanted], [one.a for one in wanted], [one.b for one in wanted])
    rows = [
        {"id": one.id, "share": share, "judge": name}
        for one, share in zip(wanted, np.asarray(shares).tolist(), strict=True)
        if not np.isnan(share)
    ]
    if not rows:
        raise UserError(f"{name} has an answer to none of the {len(wanted)} pairs of {arguments.plan}")
    write_rows(arguments.output, rows)
    print(f"{name} judged {len(rows)} of {len(wanted)} pairs: {arguments.output}")
    return 0


def chosen(arguments: argparse.Namespace) -> tuple[str, Judge]:
    """Name and judge of the one option that was given."""
    from nines.judges import CallableJudge, PreferenceJudge, StoredAnswers

    if arguments.reward_model is not None:
        from lightning_modules.reward_scorer import RewardScorer

        scorer = RewardScorer.load(arguments.reward_model, device=arguments.device)
        return f"reward model {arguments.reward_model}", PreferenceJudge(scorer.preferences)
    if arguments.stored is not None:
        from datamodules.comparison_reading import read_comparisons

        rows = [row for several in read_comparisons(arguments.stored).values() for row in several]
        answers = [(row.prompt, row.a, row.b, one.preference) for row in rows for one in row.judgements]
        return f"stored {Path(arguments.stored).name}", StoredAnswers(answers)
    module, _, function = str(arguments.function).partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        return arguments.function, CallableJudge(getattr(importlib.import_module(module), function))
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"--function {arguments.function}: {error}; give MODULE:FUNCTION") from error
