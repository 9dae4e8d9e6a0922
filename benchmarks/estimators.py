"""How long each estimator takes on a million items, on one core: `python -m benchmarks.estimators`.

Prints a Markdown table of processor seconds (the best of a few runs) and exits with 1 if one takes longer than the
limit. To add an estimator, append a `Case` to `CASES`, or a line to `benchmarks.estimator_cases.PREPARED`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.estimator_cases import PREPARED
from nines.statistics.calibration import KINDS, Kind, fit_calibration
from nines.statistics.conformal import conformal_threshold
from nines.statistics.intervals import clustered_interval
from nines.statistics.labelled import LabelledRows
from nines.statistics.quality_budget import FilteredQuality
from nines.statistics.ranking import auroc, average_precision, partial_auc
from nines.statistics.rate_curve import rate_below
from nines.statistics.rates import false_negative_rate
from nines.statistics.reliability_diagram import calibration_error
from nines.statistics.risk_control import risk_controlling_threshold
from nines.statistics.share_rules import acceptance_rule, false_positive_rate_rule
from nines.statistics.trade_off import trade_off

LIMIT_SECONDS = 2.0


@dataclass(frozen=True)
class Items:
    """What every case may use, all `(n,)`: scores in [0, 1], labels that they predict, weights, three rows a prompt."""

    scores: NDArray[np.float64]
    positive: NDArray[np.bool_]
    weights: NDArray[np.float64]
    prompts: NDArray[np.int64]

    @classmethod
    def draw(cls, count: int, seed: int) -> Items:
        """About a tenth of the items are positive."""
        rng = np.random.default_rng(seed)
        log_odds = rng.normal(-3.5, 2.0, size=count)
        scores = 1.0 / (1.0 + np.exp(-log_odds))
        return cls(
            scores=scores,
            positive=rng.random(count) < scores,
            weights=1.0 / rng.uniform(0.1, 1.0, size=count),
            prompts=rng.integers(0, max(count // 3, 1), size=count),
        )

    @property
    def rows(self) -> LabelledRows:
        """The same as labelled rows."""
        return LabelledRows(
            labels=self.positive.astype(np.int8),
            prompts=self.prompts,
            sources=np.full(len(self.scores), "generated"),
            natural_weights=self.weights,
        )


@dataclass(frozen=True)
class Case:
    """One estimator.

    Attributes:
        name: As in the table.
        prepare: From the items to a call that is timed; what it makes ready is not.
    """

    name: str
    prepare: Callable[[Items], Callable[[], Any]]


def _conformal(items: Items) -> Callable[[], Any]:
    return partial(conformal_threshold, items.scores, alpha=0.01, weights=items.weights, prompts=items.prompts)


def _risk(items: Items, *, bound: Any) -> Callable[[], Any]:
    if bound == "clopper_pearson":
        return partial(risk_controlling_threshold, items.scores, alpha=0.01, bound=bound)
    return partial(
        risk_controlling_threshold,
        items.scores,
        alpha=0.05,
        bound=bound,
        weights=items.weights,
        prompts=items.prompts,
    )


def _fit(items: Items, *, kind: Kind) -> Callable[[], Any]:
    return partial(fit_calibration, kind, items.scores, items.positive, weights=items.weights)


def _quality(items: Items) -> Callable[[], Any]:
    order = np.argsort(items.prompts, kind="stable")
    same = np.flatnonzero(np.diff(items.prompts[order]) == 0)
    pairs = np.column_stack([order[same], order[same + 1]])
    shares = items.positive[pairs[:, 0]].astype(np.float64)
    return lambda: FilteredQuality(items.scores, items.prompts, pairs=pairs, preferences=shares)(0.1)


def _on(function: Callable[..., Any], **more: Any) -> Callable[[Items], Callable[[], Any]]:
    """A function of scores, positives and weights."""
    return lambda items: partial(function, items.scores, items.positive, weights=items.weights, **more)


def _on_rows(function: Callable[..., Any], **more: Any) -> Callable[[Items], Callable[[], Any]]:
    """A function of scores and labelled rows."""

    def prepare(items: Items) -> Callable[[], Any]:
        return partial(function, items.scores, items.rows, **more)

    return prepare


CASES: list[Case] = [
    Case(
        "clustered interval of a rate", lambda i: partial(clustered_interval, i.positive, i.prompts, weights=i.weights)
    ),
    Case("false negative rate of a population", _on_rows(false_negative_rate, threshold=0.1)),
    Case("AUROC", _on(auroc)),
    Case("partial AUC", _on(partial_auc)),
    Case("average precision", _on(average_precision)),
    Case("threshold at a false positive rate", _on_rows(false_positive_rate_rule, rate=0.05)),
    Case("threshold at an acceptance share", _on_rows(acceptance_rule, share=0.9)),
    Case("conformal risk control", _conformal),
    *(
        Case(f"risk control, {bound}", partial(_risk, bound=bound))
        for bound in ("clopper_pearson", "hoeffding_bentkus", "betting")
    ),
    Case("quality at one threshold", _quality),
    *(Case(f"calibration, {kind}", partial(_fit, kind=kind)) for kind in KINDS),
    Case("calibration error", lambda i: partial(calibration_error, i.scores, i.positive, prompts=i.prompts)),
    Case(
        "rate at 200 thresholds with bands",
        lambda i: partial(rate_below, i.scores, i.prompts, thresholds=np.linspace(0, 1, 200), weights=i.weights),
    ),
    Case("trade-off curve", _on_rows(trade_off)),
    *(Case(name, prepare) for name, prepare in PREPARED.items()),
]


def seconds(case: Case, items: Items, *, repeats: int) -> float:
    """Processor seconds of the quickest of some runs: all threads, so that more cores gain nothing."""
    call = case.prepare(items)
    best = float("inf")
    for _ in range(repeats):
        started = time.process_time()
        call()
        best = min(best, time.process_time() - started)
    return best


def main(arguments: list[str] | None = None) -> int:
    """Run and print; 1 if an estimator is too slow."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000, help="how many (1000000)")
    parser.add_argument("--repeats", type=int, default=2, help="runs of each, of which the best counts (2)")
    parser.add_argument("--only", default="", help="names that contain this")
    options = parser.parse_args(arguments)
    if options.items < 1000 or options.repeats < 1:
        parser.error("--items must be at least 1000 and --repeats at least 1")
    items = Items.draw(options.items, seed=0)
    print(f"{options.items} items, limit {LIMIT_SECONDS:g} s of one core\n\n| estimator | seconds | |\n|---|---|---|")
    slow = 0
    for case in CASES:
        if options.only in case.name:
            taken = seconds(case, items, repeats=options.repeats)
            slow += taken > LIMIT_SECONDS
            print(f"| {case.name} | {taken:.2f} | {'TOO SLOW' if taken > LIMIT_SECONDS else ''} |", flush=True)
    return int(slow > 0)


if __name__ == "__main__":
    sys.exit(main())
