"""`nines label plan`: scores a pool, draws what to label, and writes it with its selection probabilities."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.label_files import PlannedItem, Pool, read_plans, read_pool
from nines.errors import DataError, UserError
from nines.files import replacing
from nines.statistics.delivery import delivery_shares
from nines.statistics.intervals import clopper_pearson
from nines.statistics.label_plan import LabelPlan, plan_round, shifted_to_rate


def plan(arguments: argparse.Namespace) -> int:
    """Write the plan and say what it will be worth."""
    pool = read_pool(arguments.pool)
    earlier = read_plans(arguments.after) if arguments.after else []
    scores = _scores(pool, arguments)
    shares = _shares(pool, scores, arguments)
    chances = scores
    if arguments.target_rate is not None:
        chances = shifted_to_rate(scores, rate=arguments.target_rate, shares=shares)
    labelled, events = _known(pool, earlier, shares)
    number = max((item.round for item in earlier), default=0) + 1
    found = plan_round(
        chances,
        budget=arguments.budget,
        method=arguments.method,
        # Another draw in another round, although the seed is the same.
        seed=int(np.random.SeedSequence([arguments.seed, number]).generate_state(1)[0]),
        shares=shares,
        labelled=labelled,
        events=events,
        floor=arguments.floor,
        strata=arguments.strata,
    )
    rows = [
        _row(pool, place, scores=scores, shares=shares, found=found, number=number, arguments=arguments)
        for place in found.drawn
    ]
    with replacing(arguments.output) as temporary:
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        temporary.write_text("".join(lines), encoding="utf-8")
    _say(arguments, pool, found, number=number, chances=chances, shares=shares)
    return 0


def _scores(pool: Pool, arguments: argparse.Namespace) -> NDArray[np.float64]:
    if arguments.classifier is not None:
        from lightning_modules.prediction import Predictor

        predictor = Predictor.load(arguments.classifier, device=arguments.device)
        pairs = [(row["prompt"], row["completion"]) for row in pool.rows]
        return predictor.scores(pairs, names=[f"{arguments.pool}, {row['id']}" for row in pool.rows])
    if missing := [row["id"] for row in pool.rows if row.get("score") is None]:
        if arguments.method == "uniform" and arguments.threshold is None:
            return np.full(len(pool), 0.5)
        raise UserError(
            f"{arguments.pool}: {len(missing)} rows have no score, such as {missing[0]!r}; give --classifier, scores "
            "made by `nines predict`, or --method uniform"
        )
    scores = np.array([row["score"] for row in pool.rows], dtype=np.float64)
    if ((scores < 0) | (scores > 1)).any():
        place = int(np.flatnonzero((scores < 0) | (scores > 1))[0])
        raise DataError(f"{arguments.pool}, id {pool.rows[place]['id']!r}: score {scores[place]} is no probability")
    return scores


def _shares(pool: Pool, scores: NDArray[np.float64], arguments: argparse.Namespace) -> NDArray[np.float64]:
    """What part of the rate each completion is: every prompt counts the same."""
    prompts = int(pool.prompts.max()) + 1
    if arguments.threshold is None:
        return np.asarray(1.0 / (prompts * pool.drawn), dtype=np.float64)
    delivered = delivery_shares(
        scores,
        pool.prompts,
        threshold=arguments.threshold,
        max_tries=arguments.max_tries,
        batch=arguments.batch,
        fallback=arguments.fallback,
        finished=pool.finished,
    )
    return delivered / prompts


def _known(
    pool: Pool, earlier: list[PlannedItem], shares: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    places = {row["id"]: place for place, row in enumerate(pool.rows)}
    labelled, events = np.zeros(len(pool), dtype=bool), np.zeros(len(pool), dtype=bool)
    problems = []
    for item in earlier:
        place = places.get(item.id)
        if place is None:
            problems.append(f"{item.where}: {item.id!r} is not in the pool")
        elif not np.isclose(item.share, shares[place], rtol=1e-6):
            problems.append(
                f"{item.where}: {item.id!r} counted {item.share:.4g} of the pool, and now {shares[place]:.4g}"
            )
        else:
            labelled[place], events[place] = True, item.label == "yes"
    if problems:
        raise DataError("earlier rounds were drawn from another pool, or for another policy", problems[:20])
    return labelled, events


def _row(
    pool: Pool,
    place: int,
    *,
    scores: NDArray[np.float64],
    shares: NDArray[np.float64],
    found: LabelPlan,
    number: int,
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    given = pool.rows[place]
    return {
        "id": given["id"],
        "prompt_id": given["prompt_id"],
        "prompt": given["prompt"],
        "completion": given["completion"],
        "label": None,
        **{key: given[key] for key in ("genre", "risk") if given.get(key) is not None},
        "score": float(scores[place]),
        "stratum": int(found.strata[place]),
        "round": number,
        "seed": arguments.seed,
        "method": arguments.method,
        "round_probability": float(found.probabilities[place]),
        "share": float(shares[place]),
        "drawn": int(pool.drawn[place]),
        "heaviest": found.heaviest,
        "expected_weight": found.expected_weight,
        "importance": arguments.budget,
    }


def _say(
    arguments: argparse.Namespace,
    pool: Pool,
    found: LabelPlan,
    *,
    number: int,
    chances: NDArray[np.float64],
    shares: NDArray[np.float64],
) -> None:
    rate = float((chances * shares).sum() / shares.sum())
    lower, upper = found.expected_interval(rate)
    naive = clopper_pearson(rate * arguments.budget, arguments.budget)
    print(f"round {number}: {len(found.drawn)} of {len(pool)} completions to label, in {arguments.output}")
    print(f"the scores promise a failure rate of {rate:.3g}; if they are right, expect an interval of about")
    print(f"  [{lower:.3g}, {upper:.3g}] by this round alone, trusting the scores, and")
    print(f"  [{naive[0]:.3g}, {naive[1]:.3g}] by as many labels drawn as in nature")
    print("write yes, no or unsure into the field `label` of each row, then:")
    plans = " ".join(str(path) for path in [*arguments.after, arguments.output])
    print(f"  nines label ingest {plans} --output {Path(arguments.output).with_name('labelled.jsonl')}")
