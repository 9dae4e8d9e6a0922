"""The typed keys of the root files of conf/: what every command takes besides the groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

Spec = Mapping[str, Any]
# Seeds of numpy and of Lightning are 32-bit numbers.
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Text = Annotated[str, Field(min_length=1)]


@dataclass(frozen=True, kw_only=True)
class TrainRoot:
    """The keys of `conf/train.yaml`, explained there."""

    name: Text
    seed: Seed
    runs: Text
    resume: str | None
    objective: Text
    objective_mode: Literal["max", "min"]
    threads: Annotated[int, Field(ge=1)] | None
    test: bool
    module: Spec
    datamodule: Spec
    trainer: Spec
    callbacks: Spec | None = None
    logger: Spec | None = None
    launcher: Spec | None = None


@dataclass(frozen=True, kw_only=True)
class EvaluateRoot:
    """The keys of `conf/evaluate.yaml`, explained there."""

    classifier: Text
    path: Text
    output: str | None
    threshold: Literal["auto", "fixed"]
    false_positive_rate: Annotated[float, Field(gt=0, lt=1)]
    population: Text | None
    baselines: bool
    seed: Seed
    batch_size: Annotated[int, Field(ge=1)]
    device: Text


@dataclass(frozen=True, kw_only=True)
class CalibrateRoot:
    """The keys of `conf/calibrate.yaml`, explained there."""

    classifier: Text
    path: Text
    split: Text
    rule: Literal[
        "false_positive_rate",
        "acceptance",
        "quality_budget",
        "conformal",
        "clopper_pearson",
        "hoeffding_bentkus",
        "betting",
    ]
    false_positive_rate: Annotated[float, Field(ge=0, lt=1)]
    acceptance: Annotated[float, Field(gt=0, le=1)]
    alpha: Annotated[float, Field(gt=0, lt=1)]
    confidence: Annotated[float, Field(gt=0.5, lt=1)]
    largest_weight: Annotated[float, Field(gt=0)] | None
    quality_loss: Annotated[float, Field(gt=0, lt=0.5)]
    comparisons: Text
    pool: Text | None
    population: Text | None
    unsure: Literal["dropped", "as_injurious"]
    calibration: Literal["none", "temperature", "platt", "beta", "isotonic"]
    output: str | None
    figures: bool
    batch_size: Annotated[int, Field(ge=1)]
    device: Text


@dataclass(frozen=True, kw_only=True)
class GenerateRoot:
    """The keys of `conf/generate.yaml`, explained there."""

    prompts: Text | None
    source: Text
    classifier: Text | None
    threshold: Annotated[float, Field(gt=0, le=1)] | None
    reward_model: Text | None
    seed: Seed
    sampling: Spec
    rows: Annotated[int, Field(ge=1)]
    max_prompt_tokens: Annotated[int, Field(ge=1)]
    precision: Literal["auto", "fp32", "bf16"]
    device: Text
    threads: Annotated[int, Field(ge=1)] | None
    policy: Spec


@dataclass(frozen=True, kw_only=True)
class DemoRoot:
    """The keys of `conf/demo.yaml`, explained there."""

    runs: Text
    seed: Seed
    threads: Annotated[int, Field(ge=1)] | None
    device: Text
    demo: Spec


@dataclass(frozen=True, kw_only=True)
class PolicyTarget:
    """`target` of `conf/evaluate_policy.yaml`, explained there."""

    by: Literal["genre", "risk"] | None
    shares: Mapping[str, float] | None


@dataclass(frozen=True, kw_only=True)
class PolicyJudge:
    """`judge` of `conf/evaluate_policy.yaml`, explained there."""

    classifier: Text | None
    threshold: Annotated[float, Field(gt=0, le=1)] | None
    reward_model: Text | None


@dataclass(frozen=True, kw_only=True)
class EvaluatePolicyRoot:
    """The keys of `conf/evaluate_policy.yaml`, explained there."""

    policy: Spec
    against: Literal["base", "filtered", "best_of_n", "distilled"]
    prompts: Text
    split: Literal["train", "valid", "test"]
    limit_prompts: Annotated[int, Field(ge=1)] | None
    target: PolicyTarget
    source: Text
    distilled: Text | None
    classifier: Text | None
    threshold: Annotated[float, Field(gt=0, le=1)] | None
    reward_model: Text | None
    judge: PolicyJudge
    label_budget: Annotated[int, Field(ge=0)]
    continuations: Annotated[int, Field(ge=0)]
    sampling: Spec
    seed: Seed
    rows: Annotated[int, Field(ge=1)]
    max_prompt_tokens: Annotated[int, Field(ge=1)]
    precision: Literal["auto", "fp32", "bf16"]
    device: Text
    threads: Annotated[int, Field(ge=1)] | None
    runs: Text
    output: Text | None


ROOT_SCHEMAS: dict[str, type[Any]] = {
    "train": TrainRoot,
    "evaluate": EvaluateRoot,
    "evaluate_policy": EvaluatePolicyRoot,
    "calibrate": CalibrateRoot,
    "generate": GenerateRoot,
    "demo": DemoRoot,
}
