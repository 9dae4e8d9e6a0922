"""Safety and quality of a policy on held-out prompts, beside its reference on the same ones, with intervals."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from lightning_modules.gathering import gather_from_ranks
from lightning_modules.policy_sampling import PolicySampler, without_cached_casts
from lightning_modules.text_rewards import ProbabilityInjurious, TextReward, score
from nines.errors import ConfigError
from nines.statistics.intervals import clopper_pearson
from nines.statistics.quality import shares_of_scores

if TYPE_CHECKING:
    from lightning_modules.policy_optimisation import PolicyOptimisation

# What an objective may name; judges and parts of the reward add figures of their own beside them.
FIGURES = tuple(
    f"valid/{name}"
    for name in ("score", "score_gain", "failure_rate", "failure_rate_upper", "quality", "quality_gain", "better")
)
SEED = 0
"""The same for every evaluation: differences between two are the policy's, not the draw's."""


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """What policy and reference made of one prompt.

    Attributes:
        row: The prompt's place in its split.
        prompt: Its text.
        completion: The policy's.
        base: The reference's.
        judged: By name of the judge, what it made of the policy's completion; `score` is the reward.
        base_judged: The same of the reference's.
        tokens: Length of the policy's completion.
    """

    row: int
    prompt: str
    completion: str
    base: str
    judged: dict[str, float]
    base_judged: dict[str, float]
    tokens: int


class HeldOutEvaluation:
    """Collects and sums up what a policy does with prompts that it does not train on.

    The judges are the reward, its parts, and the module's judges. A judge that gives P(injurious) and has a threshold
    also gives the failure rate at it: `failure_rate` for the first, `failure_rate/<name>` for each.

    Args:
        module: The policy in training.
    """

    def __init__(self, module: PolicyOptimisation) -> None:
        self.module = module
        self.rows: dict[str, list[HeldOut]] = {}
        self._collected: list[HeldOut] = []
        self._base: dict[tuple[str, int], tuple[str, dict[str, float]]] = {}

    def begin(self) -> None:
        """Forget what was collected."""
        self._collected = []

    def collect(self, split: str, rows: Sequence[int]) -> None:
        """Complete and judge some prompts, on this rank."""
        texts = self.module.prompts(split)
        prompts = [texts[row] for row in rows]
        self._complete_by_base(split, rows, prompts)
        with without_cached_casts():
            sampled = _sample(self.module.sampler(self.module.evaluation), prompts, rows)
        found = [text for text, _ in sampled]
        judged = self._judge(prompts, found)
        for place, (row, prompt) in enumerate(zip(rows, prompts, strict=True)):
            base, base_judged = self._base[split, row]
            values = {name: float(values[place]) for name, values in judged.items()}
            self._collected.append(HeldOut(row, prompt, found[place], base, values, base_judged, sampled[place][1]))

    def finish(self, split: str) -> dict[str, float]:
        """Figures over the prompts of all ranks, the same on each."""
        everything = gather_from_ranks(self._collected, world_size=self.module.trainer.world_size)
        self.rows[split] = sorted(everything, key=lambda one: one.row)
        return held_out_figures(self.rows[split], thresholds=self._thresholds())

    def _complete_by_base(self, split: str, rows: Sequence[int], prompts: Sequence[str]) -> None:
        """Once for each prompt: the reference never changes."""
        missing = [place for place, row in enumerate(rows) if (split, row) not in self._base]
        if not self.module.agree_any(bool(missing)):
            return
        sampler, context = self.module.base_sampler(self.module.evaluation)
        with context, without_cached_casts():
            texts = [text for text, _ in _sample(sampler, prompts, rows)]
        judged = self._judge(prompts, texts)
        for place, row in enumerate(rows):
            values = {name: float(values[place]) for name, values in judged.items()}
            self._base[split, row] = texts[place], values

    def _judge(self, prompts: Sequence[str], completions: Sequence[str]) -> dict[str, NDArray[np.float64]]:
        # Nothing was said: a judge that cannot read an empty text takes a full stop for it.
        readable = [text or "." for text in completions]
        total, parts = score(self.module.reward, prompts, readable)
        judged = {"score": total, **parts}
        for name, judge in self.module.judges.items():
            judged[name] = score(judge, prompts, readable)[0]
        for name, judge in self._classifiers().items():
            judged[f"probability/{name}"] = judge.probabilities(prompts, readable)
        return judged

    def _classifiers(self) -> dict[str, ProbabilityInjurious]:
        """The judges that give P(injurious): the independent ones before those of the reward."""
        parts: dict[str, TextReward] = getattr(self.module.reward, "parts", {"reward": self.module.reward})
        every = {**self.module.judges, **parts}
        return {name: judge for name, judge in every.items() if isinstance(judge, ProbabilityInjurious)}

    def _thresholds(self) -> dict[str, float]:
        return {name: judge.threshold for name, judge in self._classifiers().items() if judge.threshold is not None}


def held_out_figures(
    rows: Sequence[HeldOut], *, thresholds: dict[str, float], confidence: float = 0.95
) -> dict[str, float]:
    """Means, differences to the reference, and failure rates, each with the ends of its interval.

    One completion a prompt, so prompts are independent: differences have Student's interval over prompts, rates
    Clopper and Pearson's.

    Args:
        rows: At least two.
        thresholds: Of each judge that gives P(injurious), in the order of trust.
        confidence: Of the intervals, in (0, 1).

    Returns:
        For each judge `<name>`, `<name>_base`, and `<name>_gain` with `_lower` and `_upper`; `failure_rate`,
        `failure_rate_base` with `_lower` and `_upper`; `better`, the share of prompts with the better score, ties
        half; `length` in tokens.

    Raises:
        ConfigError: Fewer than two prompts.
    """
    if len(rows) < 2:
        raise ConfigError(f"an evaluation needs at least 2 held-out prompts, got {len(rows)}")
    figures = {"length": float(np.mean([one.tokens for one in rows]))}
    for name in rows[0].judged:
        own, base = (np.array([values[name] for values in side]) for side in _sides(rows))
        figures |= {name: float(own.mean()), f"{name}_base": float(base.mean())}
        gain, half = mean_with_half_width(own - base, confidence=confidence)
        figures |= {f"{name}_gain": gain, f"{name}_gain_lower": gain - half, f"{name}_gain_upper": gain + half}
        if name == "score":
            figures["better"] = float(shares_of_scores(own, base).mean())
    for place, (name, threshold) in enumerate(thresholds.items()):
        for ending, side in zip(("", "_base"), _sides(rows), strict=True):
            failures = sum(values[f"probability/{name}"] >= threshold for values in side)
            lower, upper = clopper_pearson(failures, len(rows), confidence=confidence)
            found = {"": failures / len(rows), "_lower": lower, "_upper": upper}
            keys = [f"failure_rate/{name}{ending}"] + ([f"failure_rate{ending}"] if place == 0 else [])
            figures |= {f"{key}{end}": value for key in keys for end, value in found.items()}
    return figures


def mean_with_half_width(values: NDArray[np.float64], *, confidence: float) -> tuple[float, float]:
    """Mean, and half the width of Student's interval of it; `values` has shape (n,), n at least 2."""
    error = float(values.std(ddof=1)) / len(values) ** 0.5
    return float(values.mean()), float(stats.t.ppf((1 + confidence) / 2, len(values) - 1)) * error


def _sides(rows: Sequence[HeldOut]) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    return [one.judged for one in rows], [one.base_judged for one in rows]


def _sample(sampler: PolicySampler, prompts: Sequence[str], rows: Sequence[int]) -> list[tuple[str, int]]:
    with torch.no_grad():
        sampled = sampler.sample(prompts, rows, count=1, seed=SEED)
    return [(one.text, len(one.tokens)) for one in sampled]
