"""`nines quality estimate`: quality with its interval from the answers to a plan, and what it cost."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from apps.quality_files import Answer, PlannedPair, read_answers, read_plan
from nines.errors import DataError, UserError
from nines.files import replacing

if TYPE_CHECKING:
    from nines.statistics.estimate import Estimate


def run(arguments: argparse.Namespace) -> int:
    """Read, estimate, print, and write."""
    pairs, summary = read_plan(arguments.plan)
    answers = collected(pairs, [one for path in arguments.answers for one in read_answers(path)])
    labelled, unused = answered_prefix(pairs, answers)
    shares = shares_of(pairs, answers, labelled)
    predictions = None
    if arguments.predictions is not None:
        predictions = predicted(pairs, read_answers(arguments.predictions))
    found = estimate(
        pairs,
        shares,
        labelled,
        predictions=predictions,
        sequential=arguments.sequential,
        confidence=arguments.confidence,
    )
    figures = report(pairs, shares, labelled, answers, found=found, summary=summary)
    figures["answers_not_used"] = unused
    if arguments.sequential:
        figures["decision"] = _decision(found, arguments)
    print("\n".join(lines(figures, found)))
    if arguments.json is not None:
        with replacing(arguments.json) as temporary:
            temporary.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0


def collected(pairs: Sequence[PlannedPair], answers: Sequence[Answer]) -> dict[str, list[Answer]]:
    """The answers of each pair.

    Raises:
        DataError: An answer to no pair that was asked for, or two by one judge to one pair.
    """
    asked = {one.id for one in pairs if one.asked}
    found: dict[str, list[Answer]] = {}
    for answer in answers:
        if answer.id not in asked:
            raise DataError(f"{answer.where}: the plan asks for no pair {answer.id!r}")
        earlier = next((one for one in found.get(answer.id, ()) if one.judge == answer.judge), None)
        if earlier is not None:
            raise DataError(
                f"{answer.where}: {answer.judge} answered pair {answer.id} on {earlier.where} already; name the "
                "judges (field 'judge') if they were two"
            )
        found.setdefault(answer.id, []).append(answer)
    return found


def answered_prefix(pairs: Sequence[PlannedPair], answers: dict[str, list[Answer]]) -> tuple[NDArray[np.bool_], int]:
    """Which pairs are labelled, in the order of the plan up to the first that is not, and how many are behind it.

    The order is random, so a start of it is a random sample of the pairs; answers that somebody picked are none.
    """
    asked = [place for place, one in enumerate(pairs) if one.asked]
    there = [pairs[place].id in answers for place in asked]
    length = there.index(False) if False in there else len(there)
    labelled = np.zeros(len(pairs), dtype=np.bool_)
    labelled[asked[:length]] = True
    return labelled, sum(there) - length


def shares_of(
    pairs: Sequence[PlannedPair], answers: dict[str, list[Answer]], labelled: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """What the filtered completion got of each pair; NaN without a label that is needed, `(pairs,)`."""
    found = np.full(len(pairs), np.nan)
    for place, one in enumerate(pairs):
        if one.known is not None:
            found[place] = one.known
        elif labelled[place]:
            found[place] = one.share_of_filtered(float(np.mean([answer.share for answer in answers[one.id]])))
    return found


def predicted(pairs: Sequence[PlannedPair], rows: Sequence[Answer]) -> NDArray[np.float64]:
    """A model's judgement of what the filtered completion gets, known shares where no label is needed.

    Raises:
        UserError: A pair that needs a label has no judgement.
    """
    by_id = {row.id: row.share for row in rows}
    for one in pairs:
        if one.known is None and one.id not in by_id:
            raise UserError(f"--predictions has nothing of pair {one.id}; make them: nines quality judge")
    return np.array(
        [one.share_of_filtered(by_id[one.id]) if one.known is None else one.known for one in pairs], dtype=np.float64
    )


def estimate(
    pairs: Sequence[PlannedPair],
    shares: NDArray[np.float64],
    labelled: NDArray[np.bool_],
    *,
    predictions: NDArray[np.float64] | None,
    sequential: bool,
    confidence: float,
) -> Estimate:
    """The estimate that fits what is there.

    Raises:
        UserError: A combination that there is no interval for, or no answer at all.
    """
    from nines.statistics.pair_sampling import sampled_quality
    from nines.statistics.prediction_powered import tuned_trust
    from nines.statistics.quality import quality
    from nines.statistics.sequential_quality import quality_so_far

    needed = np.array([one.known is None for one in pairs])
    prompts = np.array([one.prompt for one in pairs])
    chance = labelled.sum() / needed.sum() if needed.any() else 1.0
    if chance == 0:
        raise UserError(f"none of the {int(needed.sum())} pairs that need a label has an answer in the plan's order")
    if sequential:
        if predictions is not None:
            raise UserError("--sequential goes without --predictions")
        missing = np.flatnonzero(needed & ~labelled)
        upto = int(missing[0]) if len(missing) else len(pairs)
        # All pairs of a prompt form one step, so a prompt that is cut in two stays outside.
        whole = ~np.isin(prompts[:upto], prompts[upto:])
        return quality_so_far(shares[:upto][whole], prompts[:upto][whole], confidence=confidence)
    if predictions is not None:
        unlabelled = needed & ~labelled
        trust = tuned_trust(shares[labelled], predictions[labelled], predictions[unlabelled]) if unlabelled.any() else 0
        center = predictions[needed].mean()
        trusted = np.where(needed, center + trust * (predictions - center), predictions)
        return sampled_quality(
            shares,
            ~needed | labelled,
            np.where(needed, chance, 1.0),
            prompts,
            predictions=trusted,
            confidence=confidence,
        )
    # Labelled pairs stand for those that were not reached; known shares cost nothing and stand for themselves.
    weights = np.where(needed, np.where(labelled, 1 / chance, 0.0), 1.0)
    return quality(np.nan_to_num(shares, nan=0.5), prompts, weights=weights, confidence=confidence)


def report(
    pairs: Sequence[PlannedPair],
    shares: NDArray[np.float64],
    labelled: NDArray[np.bool_],
    answers: dict[str, list[Answer]],
    *,
    found: Estimate,
    summary: dict[str, Any],
) -> dict[str, Any]:
    """All figures as JSON values: quality, labels spent and saved, agreement of the judges, what was left out."""
    from nines.statistics.accepted_pairs import saving

    needed = np.array([one.known is None for one in pairs])
    figures: dict[str, Any] = {
        "quality": found.as_json(),
        "pairs": len(pairs),
        "needed": int(needed.sum()),
        "labelled": int(labelled.sum()),
        "answers": sum(len(several) for several in answers.values()),
        "skipping": summary["skipping"],
        "reason": summary["reason"],
        "refused": summary["refused"],
        "refusals": summary["refusals"],
        "agreement": None,
    }
    if needed.any():
        chance = labelled.sum() / needed.sum()
        saved = saving(shares, needed, weights=np.where(needed & ~labelled, 0.0, np.where(needed, 1 / chance, 1.0)))
        figures |= {"rejected": saved.rejected, "saved_by_skipping": len(pairs) - int(needed.sum())}
        figures |= {"saving_same_pairs": saved.same_pairs, "saving_same_width": saved.same_width}
    judges = sorted({answer.judge for several in answers.values() for answer in several})
    if len(judges) > 1:
        figures["agreement"] = _agreement(pairs, answers, judges)
    return figures


def _agreement(
    pairs: Sequence[PlannedPair], answers: dict[str, list[Answer]], judges: Sequence[str]
) -> dict[str, Any] | None:
    """Krippendorff's alpha; None where it cannot be told."""
    from nines.statistics.agreement import krippendorff_alpha
    from nines.statistics.estimate import NoEstimateError

    rated = [one for one in pairs if one.id in answers]
    table = np.full((len(rated), len(judges)), np.nan)
    for row, one in enumerate(rated):
        for answer in answers[one.id]:
            table[row, judges.index(answer.judge)] = answer.share
    try:
        return krippendorff_alpha(table, level="ordinal", clusters=[one.prompt for one in rated]).as_json()
    except NoEstimateError:
        return None


def _decision(found: Estimate, arguments: argparse.Namespace) -> str:
    from nines.statistics.confidence_sequence import decide

    return decide(found.lower, found.upper, half_width=arguments.half_width, level=arguments.level)


def lines(figures: dict[str, Any], found: Estimate) -> list[str]:
    """What the command prints."""
    said = [
        f"quality of the filtered against the unfiltered policy: {100 * found.estimate:.1f} % "
        f"[{100 * found.lower:.1f}, {100 * found.upper:.1f}] ({found.confidence:.0%}; 50 % is even)",
        f"  {found.method}; {found.items} {'prompts' if 'sequence' in found.method else 'pairs'}",
        f"labels: {figures['labelled']} of {figures['needed']} needed, {figures['pairs']} pairs in all",
    ]
    if figures["answers_not_used"]:
        said.append(
            f"  {figures['answers_not_used']} answers lie behind the first unanswered pair and were not used: "
            "pairs are in random order, so answer them in order"
        )
    if figures["skipping"] and figures.get("saved_by_skipping"):
        said.append(
            f"  {figures['saved_by_skipping']} labels saved: known without one. To the same width, labelling "
            f"every pair would take about {figures['saving_same_width']:.1f} times the labels"
        )
    elif figures["reason"]:
        said.append(f"  every pair needs a label: {figures['reason']}")
    if figures["refused"]:
        how = "left out" if figures["refusals"] == "left-out" else "counted as lost"
        said.append(f"{figures['refused']} prompts got no completion from the filtered policy: {how}")
    if figures["agreement"]:
        alpha = figures["agreement"]
        said.append(
            f"agreement of the judges, Krippendorff's alpha (ordinal): {alpha['estimate']:.2f} "
            f"[{alpha['lower']:.2f}, {alpha['upper']:.2f}]"
        )
    if "decision" in figures:
        meaning = {
            "open": "go on: the interval is not yet narrow enough, nor on one side of the level",
            "precise": "stop: the interval is narrow enough",
            "above": "stop: quality is above the level",
            "below": "stop: quality is below the level",
        }
        said.append(meaning[figures["decision"]])
    return said
