"""`nines quality plan`: pairs of a filtered and an unfiltered completion, and which of them need a judgement."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.quality_files import TO_JUDGE, Continuation, PlannedPair, read_continuations, write_plan
from nines.errors import DataError, UserError

Match = tuple[Continuation, Continuation]


def run(arguments: argparse.Namespace) -> int:
    """Pair, decide, write, and say what is to be done."""
    matches, lonely = matched(read_continuations(arguments.base), read_continuations(arguments.filtered))
    refused = [one for one in matches if one[1].completion is None]
    kept = [one for one in matches if one[0].completion is not None and one[1].completion is not None]
    if not kept:
        raise DataError(f"{arguments.filtered} delivers nothing that could be compared")
    reason = None if arguments.all_pairs else why_all_need_labels([one for _, one in matches])
    skipping = not arguments.all_pairs and reason is None
    accepted = np.zeros((len(kept), 2), dtype=np.bool_)
    if skipping:
        scores = _scores(kept, classifier=arguments.classifier, device=arguments.device)
        accepted = accepted_sides(kept, scores)
    pairs = planned(
        kept,
        accepted,
        lost=refused if arguments.refused == "lost" else [],
        labels=arguments.labels,
        seed=arguments.seed,
    )
    coupled = all(base.completion == one.first_attempt for base, one in kept)
    if coupled and refused and arguments.refused == "left-out":
        raise UserError(
            f"{arguments.base} and {arguments.filtered} have the same seed, so leaving out the {len(refused)} prompts "
            "without a delivered completion would leave out rejected completions only; give --refused lost, or "
            "generate the base completions with another seed"
        )
    asked = sum(one.asked for one in pairs)
    summary: dict[str, Any] = {
        "base": str(arguments.base),
        "filtered": str(arguments.filtered),
        "seed": arguments.seed,
        "pairs": len(pairs),
        "needed": sum(one.known is None for one in pairs),
        "asked": asked,
        "refused": len(refused),
        "refusals": arguments.refused,
        "without_partner": lonely,
        "skipping": skipping,
        "reason": reason,
        "threshold": kept[0][1].threshold,
    }
    write_plan(arguments.output, pairs, summary)
    print(describe(summary))
    print(f"to judge: {arguments.output / TO_JUDGE}, {asked} pairs in random order, sides drawn at random")
    return 0


def describe(summary: dict[str, Any]) -> str:
    """What was found, in a line or two."""
    pairs, needed = summary["pairs"], summary["needed"]
    lines = [f"{pairs} pairs; {needed} need a label ({needed / pairs:.1%})"]
    if summary["skipping"]:
        lines[0] += f", {pairs - needed} count without one: both accepted, the same text, or refused"
    elif summary["reason"]:
        lines.append(f"all pairs need a label: {summary['reason']}")
    if summary["refused"]:
        how = "left out" if summary["refusals"] == "left-out" else "counted as lost"
        lines.append(f"{summary['refused']} prompts got no completion from the filtered policy: {how}")
    if summary["without_partner"]:
        lines.append(f"{summary['without_partner']} prompts are in one of the files only: left out")
    return "\n".join(lines)


def matched(base: Sequence[Continuation], filtered: Sequence[Continuation]) -> tuple[list[Match], int]:
    """Rows of the same number, and how many have no partner.

    Raises:
        DataError: Rows of one number have different prompts, or none has a partner.
    """
    partners = {one.number: one for one in filtered}
    found = []
    for one in base:
        partner = partners.get(one.number)
        if partner is None:
            continue
        if partner.prompt != one.prompt:
            raise DataError(f"{one.where} and {partner.where} have number {one.number}, but not the same prompt")
        found.append((one, partner))
    if not found:
        raise DataError("the two files have no prompt number in common; generate both from the same prompts")
    return found, len(base) + len(filtered) - 2 * len(found)


def why_all_need_labels(filtered: Sequence[Continuation]) -> str | None:
    """Why pairs that are both accepted do not count ½ here; None if they do (`nines.statistics.accepted_pairs`)."""
    thresholds = {one.threshold for one in filtered}
    if thresholds == {None}:
        return "the second file was made without a filter"
    if any(one.conservatism is not None for one in filtered):
        return "policy.conservatism lowers the threshold with each rejection, so there is no one rule"
    if len(thresholds) > 1:
        return f"the second file has several thresholds: {', '.join(map(str, sorted(map(str, thresholds))))}"
    other = next((one for one in filtered if not one.first_accepted), None)
    if other is not None:
        return f"{other.where} was not chosen as the first accepted attempt (safest_of_batch?)"
    return None


def accepted_sides(matches: Sequence[Match], scores: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether the filter's rule accepts the base and the filtered completion of each pair, `(pairs, 2)`.

    A completion that the limit of tokens has cut counts as not accepted on both sides alike: whether the rule rejects
    such ones (`policy.require_finished`) is not in the file, and either way the rest is exchangeable.
    """
    return np.array(
        [
            [score < (one.threshold or 0.0) and base.finished, not one.gave_up and one.finished]
            for (base, one), score in zip(matches, scores, strict=True)
        ]
    )


def planned(
    matches: Sequence[Match], accepted: NDArray[np.bool_], *, lost: Sequence[Match], labels: int | None, seed: int
) -> list[PlannedPair]:
    """Pairs in random order with random sides; with `labels` only so many of those that need one are asked for.

    Raises:
        UserError: There are not so many to ask for.
    """
    from nines.statistics.accepted_pairs import needs_label

    rng = np.random.default_rng(seed)
    rows: list[tuple[Match, float | None]] = []
    for match, wanted in zip(matches, needs_label(accepted[:, 1], accepted[:, 0]), strict=True):
        same = match[0].completion == match[1].completion
        rows.append((match, None if wanted and not same else 0.5))
    rows += [(match, 0.0) for match in lost]
    rows = [rows[place] for place in rng.permutation(len(rows))]
    first = rng.random(len(rows)) < 0.5
    needed = sum(known is None for _, known in rows)
    if labels is not None and not 0 < labels <= needed:
        raise UserError(f"--labels {labels}: {needed} pairs need a label; give a number from 1 to {needed}")
    asked_for = needed if labels is None else labels
    found: list[PlannedPair] = []
    left = asked_for
    for (match, known), filtered_first in zip(rows, first.tolist(), strict=True):
        base, filtered = match[0].completion or "", match[1].completion or ""
        text = "\n".join([match[0].prompt, base, filtered, str(match[0].number)])
        # The order is random, so the first of those needed are a simple random sample of them.
        asked = known is None and left > 0
        left -= asked
        found.append(
            PlannedPair(
                id=hashlib.sha256(text.encode()).hexdigest()[:12],
                number=match[0].number,
                prompt=match[0].prompt,
                a=filtered if filtered_first else base,
                b=base if filtered_first else filtered,
                filtered="a" if filtered_first else "b",
                known=known,
                probability=1.0 if known is not None else asked_for / needed,
                asked=asked,
            )
        )
    return found


def _scores(matches: Sequence[Match], *, classifier: Path | None, device: str) -> NDArray[np.float64]:
    """P(injurious) of the base completions: out of the file, or by the classifier."""
    known = [base.score for base, _ in matches]
    if classifier is None:
        for base, _ in matches:
            if base.score is None:
                raise UserError(
                    f"{base.where} has no score, so nobody knows whether the filter would accept it; give "
                    "--classifier RUN, the filter's own, or --all-pairs to label all"
                )
        return np.array(known, dtype=np.float64)
    from lightning_modules.prediction import Predictor

    predictor = Predictor.load(classifier, device=device)
    texts = [(base.prompt, base.completion or "") for base, _ in matches]
    return predictor.scores(texts, names=[base.where for base, _ in matches])
