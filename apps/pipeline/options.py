"""What the user may set about the pipeline: the fields of `conf/demo/*.yaml`, with their ranges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nines.errors import ConfigError
from nines.policies.options import SamplingOptions

Share = Sequence[float]


@dataclass(frozen=True, kw_only=True)
class PromptShares:
    """Who learns from which share of the training prompts, each `[start, end]` of the range of their hash.

    Args:
        generator: Of the base policy.
        classifier: Of the filter's classifier and the reward's two models.
        judges: Of the second classifier and the second reward model.
        ppo: Of the distillation.
    """

    generator: Share
    classifier: Share
    judges: Share
    ppo: Share


@dataclass(frozen=True, kw_only=True)
class Training:
    """One run of `nines train` within the pipeline.

    Args:
        train: Overrides as `nines train` takes them.
        more: Further ones of the user's, which come behind them.
        seed: Added to the seed of the pipeline.
        seconds: Expected duration on two idle cores.
    """

    train: Sequence[str]
    more: Sequence[str] = ()
    seed: int = 0
    seconds: float

    @property
    def words(self) -> list[str]:
        """All overrides."""
        return [*self.train, *self.more]


@dataclass(frozen=True, kw_only=True)
class Trainings:
    """The six trainings, in the order in which they come."""

    generator: Training
    classifier: Training
    reward_model: Training
    judge_classifier: Training
    judge_reward_model: Training
    ppo: Training


@dataclass(frozen=True, kw_only=True)
class BaseCompletions:
    """Completions of the base policy on validation prompts, on which threshold and scale of the quality are fixed.

    Args:
        prompts: Validation prompts at most; None takes all.
        each: Completions of each prompt.
        seconds: Expected duration.
    """

    prompts: int | None
    each: int
    seconds: float

    def __post_init__(self) -> None:
        if self.each < 1 or (self.prompts is not None and self.prompts < 2):
            raise ConfigError("demo.base_completions: at least 2 prompts with 1 completion each are needed")


@dataclass(frozen=True, kw_only=True)
class Filter:
    """The filtered policy.

    Args:
        acceptance: Share of the base policy's completions that the threshold accepts, in (0, 1).
        max_tries: Attempts at most; then the filter gives up and delivers nothing.
        seconds: Expected duration of choosing the threshold.
    """

    acceptance: float
    max_tries: int
    seconds: float

    def __post_init__(self) -> None:
        if not 0 < self.acceptance < 1:
            raise ConfigError(f"demo.filter.acceptance must lie in (0, 1), got {self.acceptance}")
        if self.max_tries < 1:
            raise ConfigError(f"demo.filter.max_tries must be at least 1, got {self.max_tries}")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Base, filtered and distilled policy on test prompts.

    Args:
        prompts: Test prompts at most; None takes all.
        confidence: Of the intervals, in (0, 1).
        samples: Prompts whose completions the report shows side by side: so many by each way of choosing.
        seconds: Expected duration.
    """

    prompts: int | None
    confidence: float
    samples: int
    seconds: float

    def __post_init__(self) -> None:
        if self.prompts is not None and self.prompts < 2:
            raise ConfigError(f"demo.comparison.prompts must be at least 2, got {self.prompts}")
        if not 0 < self.confidence < 1:
            raise ConfigError(f"demo.comparison.confidence must lie in (0, 1), got {self.confidence}")


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """The pipeline.

    Args:
        size: Name of these settings.
        path: Prompts, labelled completions and comparisons.
        classifier: A trained classifier to take instead of training one: a run folder, the folder of
            `nines sweep best`, or a checkpoint file.
        shares: Who learns from which prompts.
        trainings: The trainings.
        base_completions: What threshold and scale of the quality are fixed on.
        filter: The filtered policy.
        comparison: What is compared at the end.
        sampling: How all policies are used.
        rows: Completions in progress at once.
    """

    size: str
    path: str
    classifier: str | None
    shares: PromptShares
    trainings: Trainings
    base_completions: BaseCompletions
    filter: Filter
    comparison: Comparison
    sampling: SamplingOptions
    rows: int

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise ConfigError(f"demo.rows must be at least 1, got {self.rows}")
