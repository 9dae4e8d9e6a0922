"""Rewards of completions as text: by a classifier, by a reward model, by any callable, and their weighted sum.

A reward takes prompts and completions as text, since every model that judges has a tokenizer of its own. Models are
loaded at the first call, and two rewards that name the same model share it.
"""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nines.errors import ConfigError, DataError

Scores = NDArray[np.float64]


class TextReward(Protocol):
    """Anything that gives one number for each completion; more is better."""

    def __call__(self, prompts: Sequence[str], completions: Sequence[str]) -> Any:
        """Numbers of shape (completions,), as an array or a sequence."""


class ProbabilityInjurious:
    """P(injurious) by a trained classifier.

    Args:
        classifier: A run folder, the folder of `nines sweep best`, or a checkpoint file.
        device: Where it runs, such as `cuda`.
    """

    def __init__(self, *, classifier: str, device: str = "cpu") -> None:
        self.classifier = classifier
        self.device = device

    @property
    def threshold(self) -> float | None:
        """Below it a completion is accepted, as the classifier's run fixed it; None if it fixed none."""
        threshold: float | None = _classifier(self.classifier, self.device).threshold
        return threshold

    def probabilities(self, prompts: Sequence[str], completions: Sequence[str]) -> Scores:
        """P(injurious) of each, in [0, 1]."""
        return _probabilities(self.classifier, self.device, tuple(prompts), tuple(completions))

    def __call__(self, prompts: Sequence[str], completions: Sequence[str]) -> Scores:
        """P(injurious) of each; as a reward it needs a negative weight."""
        return self.probabilities(prompts, completions)


class LogSafe(ProbabilityInjurious):
    """log P(safe): 0 for what is certainly safe, and steep where the classifier sees an injury.

    Args:
        classifier: See `ProbabilityInjurious`.
        floor: Lowest value, below 0: one certain injury must not outweigh a whole batch.
        device: Where the classifier runs.

    Raises:
        ConfigError: `floor` is not below 0.
    """

    def __init__(self, *, classifier: str, floor: float = -10.0, device: str = "cpu") -> None:
        super().__init__(classifier=classifier, device=device)
        if not (math.isfinite(floor) and floor < 0):
            raise ConfigError(f"module.reward.floor must be below 0, got {floor}")
        self.floor = floor

    def __call__(self, prompts: Sequence[str], completions: Sequence[str]) -> Scores:
        """log(1 - P(injurious)) of each, at least `floor`."""
        return np.log(np.maximum(1 - self.probabilities(prompts, completions), math.exp(self.floor)))


class ThresholdPenalty(ProbabilityInjurious):
    """Nothing below the threshold, and a fixed penalty from it on: exactly what the filter rejects costs.

    Args:
        classifier: See `ProbabilityInjurious`.
        threshold: Scores from it on are penalised, in (0, 1]; None takes the one of the classifier's run.
        penalty: Reward of what is penalised, below 0.
        device: Where the classifier runs.

    Raises:
        ConfigError: A value is out of range.
    """

    def __init__(
        self, *, classifier: str, threshold: float | None = None, penalty: float = -1.0, device: str = "cpu"
    ) -> None:
        super().__init__(classifier=classifier, device=device)
        if threshold is not None and not 0 < threshold <= 1:
            raise ConfigError(f"module.reward.threshold must lie in (0, 1], got {threshold}")
        if not (math.isfinite(penalty) and penalty < 0):
            raise ConfigError(f"module.reward.penalty must be below 0, got {penalty}")
        self._threshold = threshold
        self.penalty = penalty

    @property
    def threshold(self) -> float | None:
        """The one that was given, or the classifier's own."""
        return self._threshold if self._threshold is not None else super().threshold

    def __call__(self, prompts: Sequence[str], completions: Sequence[str]) -> Scores:
        """0 or `penalty` for each.

        Raises:
            ConfigError: Neither arguments nor the classifier's run say where the threshold is.
        """
        threshold = self.threshold
        if threshold is None:
            raise ConfigError(f"{self.classifier} fixed no threshold; set module.reward.threshold")
        return np.where(self.probabilities(prompts, completions) >= threshold, self.penalty, 0.0)


class Quality:
    """What a reward model makes of a completion: 0 is the average of the base policy, 1 its standard deviation.

    Args:
        reward_model: A run folder, the folder of `nines sweep best`, or a checkpoint file.
        device: Where it runs, such as `cuda`.
    """

    def __init__(self, *, reward_model: str, device: str = "cpu") -> None:
        self.reward_model = reward_model
        self.device = device

    def __call__(self, prompts: Sequence[str], completions: Sequence[str]) -> Scores:
        """The normalised score of each."""
        scores: Scores = _scorer(self.reward_model, self.device)(prompts, completions)
        return scores


class Imported:
    """Any function or class of the user's.

    Args:
        name: Dotted path of a function of prompts and completions, or of a class whose objects can be called so.
        arguments: Of the class, or further ones of the function.

    Raises:
        ConfigError: There is no such thing, or it cannot be called.
    """

    def __init__(self, *, name: str, arguments: Mapping[str, Any] | None = None) -> None:
        self.reward = build_reward({**(arguments or {}), "_target_": name})

    def __call__(self, prompts: Sequence[str], completions: Sequence[str]) -> Any:
        """What it gives."""
        return self.reward(prompts, completions)


class WeightedSum:
    """The sum of several rewards, each times its weight.

    Args:
        parts: By name, rewards or their specifications with `_target_`.
        weights: By the same names; a part that is not named counts once. 0 only watches it.

    Raises:
        ConfigError: There is no part, or a weight for none.
    """

    def __init__(self, *, parts: Mapping[str, Any], weights: Mapping[str, float] | None = None) -> None:
        weights = weights or {}
        if not parts:
            raise ConfigError("module.reward.parts is empty: there is nothing to reward")
        if unknown := sorted(weights.keys() - parts.keys()):
            raise ConfigError(f"module.reward.weights: there is no part {unknown[0]!r}; parts: {', '.join(parts)}")
        self.parts: dict[str, TextReward] = {name: build_reward(part) for name, part in parts.items()}
        self.weights = {name: float(weights.get(name, 1.0)) for name in parts}

    def __call__(self, prompts: Sequence[str], completions: Sequence[str]) -> Scores:
        """The weighted sum for each."""
        return score(self, prompts, completions)[0]


def score(
    reward: TextReward, prompts: Sequence[str], completions: Sequence[str]
) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """Total and parts of the reward of each completion; a reward that is no sum has no parts.

    Raises:
        DataError: A reward gave another number of values than there are completions, or one that is not finite.
    """
    if not isinstance(reward, WeightedSum):
        return _checked(reward, prompts, completions), {}
    parts = {name: _checked(part, prompts, completions) for name, part in reward.parts.items()}
    total = sum((reward.weights[name] * values for name, values in parts.items()), np.zeros(len(completions)))
    return total, parts


def build_reward(spec: Any) -> TextReward:
    """The reward that `spec` describes: a callable as it is, or `{"_target_": "package.name", …}` with its arguments.

    A class is called with the arguments. A function that takes prompts and completions is taken itself; arguments
    beside `_target_` are bound to it.

    Raises:
        ConfigError: There is no such thing, or it cannot be called.
    """
    if callable(spec):
        given: TextReward = spec
        return given
    if not isinstance(spec, Mapping) or not isinstance(spec.get("_target_"), str):
        raise ConfigError(f"module.reward needs _target_: <package>.<name>, got {spec!r}")
    arguments = {key: value for key, value in spec.items() if key != "_target_"}
    module, _, name = spec["_target_"].rpartition(".")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"module.reward: {spec['_target_']!r} cannot be imported: {error}") from error
    try:
        built = found(**arguments) if isinstance(found, type) else functools.partial(found, **arguments)
    except TypeError as error:
        raise ConfigError(f"module.reward: {spec['_target_']}: {error}") from error
    if not callable(built):
        raise ConfigError(f"module.reward: {spec['_target_']!r} gives nothing that can be called with texts")
    return built


def _checked(reward: TextReward, prompts: Sequence[str], completions: Sequence[str]) -> NDArray[np.float64]:
    name = getattr(reward, "__name__", type(reward).__name__)
    values = np.asarray(reward(prompts, completions), dtype=np.float64)
    if values.shape != (len(completions),):
        raise DataError(f"reward {name} gave values of shape {values.shape} for {len(completions)} completions")
    if not np.isfinite(values).all():
        worst = int(np.flatnonzero(~np.isfinite(values))[0])
        raise DataError(f"reward {name} gave {values[worst]} for {completions[worst]!r}")
    return values


@functools.cache
def _classifier(path: str, device: str) -> Any:
    from lightning_modules.prediction import Predictor

    return Predictor.load(path, device=device)


@functools.cache
def _scorer(path: str, device: str) -> Any:
    from lightning_modules.reward_scorer import RewardScorer

    return RewardScorer.load(path, device=device)


@functools.lru_cache(maxsize=4)
def _probabilities(path: str, device: str, prompts: tuple[str, ...], completions: tuple[str, ...]) -> Scores:
    """Several rewards ask about the same texts in turn, so the newest answers are kept."""
    scores: Scores = _classifier(path, device).scores(list(zip(prompts, completions, strict=True)))
    scores.setflags(write=False)
    return scores
