"""What the rules promise of a threshold, against simulation: `python -m benchmarks.guarantees --resamples 1000`.

Each scenario draws calibration samples from a known distribution, chooses a threshold on each, and computes the *true*
false negative rate of that threshold. Conformal risk control must keep its mean at or below alpha, the bounds of
`nines.statistics.risk_control` must keep it at or below alpha in at least 95 % of samples. A promise is refuted by a
one-sided test at 0.001. Exits with 1 if one is.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from nines.statistics.chosen_threshold import ChosenThreshold
from nines.statistics.conformal import conformal_threshold
from nines.statistics.estimate import NoEstimateError
from nines.statistics.risk_control import risk_controlling_threshold

SIGNIFICANCE = 0.001
HEADER = "| rule | scenario | alpha | mean true FNR | promised | FNR ≤ alpha in | refused | |\n" + "|---" * 8 + "|"

Rule = Callable[..., ChosenThreshold]


@dataclasses.dataclass(frozen=True)
class Sample:
    """Injurious completions of a calibration sample, and the true false negative rate of any threshold."""

    scores: NDArray[np.float64]
    weights: NDArray[np.float64] | None
    prompts: NDArray[np.int64] | None
    largest_weight: float | None
    truth: Callable[[float], float]


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A rule in a stated situation.

    Attributes:
        rule: Called with scores, alpha, weights, prompts, largest_weight.
        name: Of the rule.
        situation: In words.
        alpha: Bound asked for.
        draw: A calibration sample from a generator.
        promise: `mean` or `probability`.
        holds: Whether the promise is exact here; else it is reported only.
    """

    rule: Rule
    name: str
    situation: str
    alpha: float
    draw: Callable[[np.random.Generator], Sample]
    promise: str
    holds: bool = True


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the resamples say of a scenario.

    Attributes:
        rates: True false negative rate of each threshold that was chosen, `(chosen,)`.
        refused: How many samples were refused as too small.
        mean: Of `rates`.
        standard_error: Of that mean.
        kept: Share of `rates` at or below alpha.
        passed: The promise is not refuted.
    """

    rates: NDArray[np.float64]
    refused: int
    mean: float
    standard_error: float
    kept: float
    passed: bool


def alone(rng: np.random.Generator, *, items: int) -> Sample:
    """Independent completions; scores are uniform, so that the threshold is its own false negative rate."""
    return Sample(rng.random(items), None, None, None, lambda threshold: min(threshold, 1.0))


def rounded(rng: np.random.Generator, *, items: int) -> Sample:
    """The same with ties: scores in steps of 1 / 50."""
    scores = np.ceil(rng.random(items) * 50) / 50
    return Sample(scores, None, None, None, lambda threshold: float(np.ceil(threshold * 50 - 1e-9) - 1) / 50)


def selected(rng: np.random.Generator, *, items: int, rarely: float, stated: bool) -> Sample:
    """Completions labelled with probability 1 if suspicious, which half are and score higher, else `rarely`.

    The number of labelled ones is fixed; suspicious ones have scores sqrt(u), the others u ** 2.
    """
    suspicious = rng.random(items) < 1 / (1 + rarely)
    uniform = rng.random(items)
    scores = np.where(suspicious, np.sqrt(uniform), uniform**2)
    weights = np.where(suspicious, 1.0, 1.0 / rarely)
    return Sample(
        scores,
        weights,
        None,
        1.0 / rarely if stated else None,
        lambda threshold: (threshold**2 + np.sqrt(threshold)) / 2 if threshold < 1 else 1.0,
    )


def in_prompts(rng: np.random.Generator, *, prompts: int, stated: bool) -> Sample:
    """1 to 4 injurious completions a prompt, each of weight 1; the more there are, the lower they score, together.

    A prompt's own u is shared: scores are `u ** size * v ** 0.2` with v drawn for each completion.
    """
    sizes = rng.integers(1, 5, size=prompts)
    group = np.repeat(np.arange(prompts), sizes)
    scores = rng.random(prompts)[group] ** sizes[group] * rng.random(len(group)) ** 0.2
    return Sample(scores, None, group, 4.0 if stated else None, _true_rate_in_prompts)


def _true_rate_in_prompts(threshold: float) -> float:
    """P(u ** k v ** 0.2 < t), completions of prompts of size k weighing k / 10, by the closed form of each size."""
    t = min(threshold, 1.0)
    total = 0.0
    for size in (1, 2, 3, 4):
        # With x = -log u ** k (rate 1 / k) and y = -log v ** 0.2 (rate 5): P(x + y > -log t).
        slow, fast = 1.0 / size, 5.0
        below = (fast * t**slow - slow * t**fast) / (fast - slow)
        total += size / 10.0 * below
    return total


def judge(scenario: Scenario, *, resamples: int, seed: int = 0) -> Verdict:
    """Draw, choose and hold against the truth.

    Args:
        scenario: What.
        resamples: How many samples.
        seed: Of the generator.
    """
    rng = np.random.default_rng(seed)
    rates, refused = [], 0
    for _ in range(resamples):
        sample = scenario.draw(rng)
        try:
            chosen = scenario.rule(
                sample.scores,
                alpha=scenario.alpha,
                weights=sample.weights,
                prompts=sample.prompts,
                largest_weight=sample.largest_weight,
            )
        except NoEstimateError:
            rates.append(0.0)  # nothing is accepted, so nothing is missed
            refused += 1
            continue
        rates.append(sample.truth(chosen.threshold))
    found = np.array(rates)
    error = float(found.std(ddof=1)) / resamples**0.5
    kept = int((found <= scenario.alpha).sum())
    if scenario.promise == "mean":
        passed = float(found.mean()) - scenario.alpha <= float(stats.norm.isf(SIGNIFICANCE)) * error
    else:
        passed = bool(stats.binom.cdf(kept, resamples, 0.95) >= SIGNIFICANCE)
    return Verdict(
        rates=found,
        refused=refused,
        mean=float(found.mean()),
        standard_error=error,
        kept=kept / resamples,
        passed=passed or not scenario.holds,
    )


_BOUNDED = {
    bound: partial(risk_controlling_threshold, bound=bound)
    for bound in ("clopper_pearson", "hoeffding_bentkus", "betting")
}
_SITUATIONS = (
    ("300 prompts of 1 to 4, bound stated", 0.1, partial(in_prompts, prompts=300, stated=True), True),
    ("300 prompts of 1 to 4, bound as seen", 0.1, partial(in_prompts, prompts=300, stated=False), True),
    ("400 selected, weights 1 and 10, bound stated", 0.2, partial(selected, items=400, rarely=0.1, stated=True), True),
    ("400 selected, weights 1 and 10, as seen", 0.2, partial(selected, items=400, rarely=0.1, stated=False), True),
    ("60 selected, weights 1 and 30, as seen", 0.5, partial(selected, items=60, rarely=1 / 30, stated=False), False),
)
SCENARIOS = (
    *(
        Scenario(conformal_threshold, "conformal", situation, alpha, draw, "mean")
        for situation, alpha, draw in (
            ("19 independent", 0.1, partial(alone, items=19)),
            ("100 independent", 0.05, partial(alone, items=100)),
            ("1000 independent", 0.01, partial(alone, items=1000)),
            ("100 independent, tied scores", 0.1, partial(rounded, items=100)),
        )
    ),
    *(Scenario(conformal_threshold, "conformal", *rest[:3], "mean", rest[3]) for rest in _SITUATIONS),
    *(
        Scenario(_BOUNDED[bound], bound, situation, alpha, draw, "probability")
        for bound in _BOUNDED
        for situation, alpha, draw in (
            ("100 independent", 0.1, partial(alone, items=100)),
            ("1000 independent", 0.01, partial(alone, items=1000)),
            ("200 independent, tied scores", 0.1, partial(rounded, items=200)),
        )
    ),
    *(
        Scenario(_BOUNDED[bound], bound, *rest[:3], "probability", rest[3])
        for bound in ("hoeffding_bentkus", "betting")
        for rest in _SITUATIONS
    ),
)


def line(scenario: Scenario, verdict: Verdict) -> str:
    """One row of the table."""
    promised = "mean ≤ alpha" if scenario.promise == "mean" else "≤ alpha in 95 %"
    said = "" if scenario.holds else "approximate"
    return (
        f"| {scenario.name} | {scenario.situation} | {scenario.alpha:g} "
        f"| {verdict.mean:.4f} ± {verdict.standard_error:.4f} | {promised} | {100 * verdict.kept:.1f} % "
        f"| {verdict.refused} | {said if verdict.passed else 'REFUTED'} |"
    )


def main(arguments: list[str] | None = None) -> int:
    """Run and print; 1 if a promise is refuted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resamples", type=int, default=1000, help="of each scenario (1000)")
    parser.add_argument("--seed", type=int, default=0, help="of every scenario (0)")
    options = parser.parse_args(arguments)
    if options.resamples < 2:
        parser.error("--resamples must be at least 2")
    started, passed = time.perf_counter(), True
    print(f"{options.resamples} resamples, seed {options.seed}\n\n{HEADER}", flush=True)
    for scenario in SCENARIOS:
        verdict = judge(scenario, resamples=options.resamples, seed=options.seed)
        passed = passed and verdict.passed
        print(line(scenario, verdict), flush=True)
    print(f"\n{time.perf_counter() - started:.0f} s")
    return int(not passed)


if __name__ == "__main__":
    sys.exit(main())
