"""The stages of the pipeline in their order, out of its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from apps.pipeline.context import Context
from apps.pipeline.division import divide
from apps.pipeline.options import Training
from apps.pipeline.stage_work import (
    check_classifier,
    choose_threshold,
    compare_policies,
    complete_by_base,
    distil,
    fine_tune,
    judge_error_rates,
    train_and_normalise,
)
from apps.pipeline.stages import Stage
from apps.pipeline.trainings import PlannedRun, plan_run, train_in

SHARES = {
    "generator": "generator",
    "classifier": "classifier",
    "reward_model": "classifier",
    "judge_classifier": "judges",
    "judge_reward_model": "judges",
    "ppo": "ppo",
}
"""Which share of the prompts each training learns from."""


def plan_trainings(context: Context) -> dict[str, PlannedRun]:
    """The configuration of every training that will be needed, composed and checked.

    Raises:
        ConfigError: Overrides of one do not fit.
    """
    trainings = context.options.trainings
    names = [name for name in SHARES if name != "classifier" or context.options.classifier is None]
    return {name: plan_training(context, name, getattr(trainings, name)) for name in names}


def plan_training(context: Context, name: str, training: Training, *, seed: int | None = None) -> PlannedRun:
    """One training: its overrides, its share of the prompts, and what it takes from the stages before.

    Raises:
        ConfigError: Its overrides do not fit.
    """
    share = [float(end) for end in getattr(context.options.shares, SHARES[name])]
    return plan_run(
        training,
        given={"datamodule.share": share, "datamodule.path": context.options.path},
        made=_made_for_ppo(context) if name == "ppo" else None,
        seed=context.seed if seed is None else seed,
        threads=context.threads,
        config_dir=context.config_dir,
    )


def _made_for_ppo(context: Context) -> dict[str, Any]:
    """The policy to start from, the models of the reward, and the judges, which only watch."""
    return {
        "module.model.source": context.base,
        "module.reward.parts.log_safe.classifier": str(context.classifier),
        "module.reward.parts.log_safe.device": context.device,
        "module.reward.parts.quality.reward_model": str(context.reward_model),
        "module.judges": {
            "judge": {
                "_target_": "lightning_modules.text_rewards.LogSafe",
                "classifier": str(context.root / "judge_classifier"),
                "device": context.device,
            },
            "judge_quality": {
                "_target_": "lightning_modules.text_rewards.Quality",
                "reward_model": str(context.root / "judge_reward_model"),
                "device": context.device,
            },
        },
    }


def plan_stages(context: Context, runs: Mapping[str, PlannedRun]) -> list[Stage]:
    """All stages, forerunners first."""
    options, trainings = context.options, context.options.trainings
    own = ("classifier",) if options.classifier is None else ()
    borrowed = {} if options.classifier is None else check_classifier(context.classifier)
    sampling = asdict(options.sampling)

    def training(name: str, purpose: str) -> Stage:
        return Stage(
            name=name,
            purpose=purpose,
            settings=runs[name].identity,
            needs=(),
            seconds=getattr(trainings, name).seconds,
            work=lambda folder: train_in(runs[name], folder),
        )

    return [
        Stage(
            name="division",
            purpose="divide the prompts among those who learn from them",
            settings={name: run.identity["datamodule.share"] for name, run in runs.items()} | {"path": options.path},
            needs=(),
            seconds=5,
            work=lambda folder: divide(_by_learner(runs), path=options.path),  # noqa: ARG005 - writes no file
        ),
        Stage(
            name="generator",
            purpose="fine-tune the language model: the base policy",
            settings=runs["generator"].identity,
            needs=(),
            seconds=trainings.generator.seconds,
            work=lambda folder: fine_tune(runs["generator"], folder),
        ),
        Stage(
            name="base_completions",
            purpose="complete validation prompts by the base policy",
            settings={
                "seed": context.seed,
                "path": options.path,
                "sampling": sampling,
                "prompts": options.base_completions.prompts,
                "each": options.base_completions.each,
            },
            needs=("generator",),
            seconds=options.base_completions.seconds,
            work=lambda folder: complete_by_base(context, folder),
        ),
        *([training("classifier", "train the classifier of filter and reward")] if own else []),
        Stage(
            name="threshold",
            purpose="choose the filter's threshold on completions of the base policy",
            settings={"acceptance": options.filter.acceptance, "borrowed": borrowed},
            needs=("base_completions", *own),
            seconds=options.filter.seconds,
            work=lambda folder: choose_threshold(context, folder),
        ),
        Stage(
            name="reward_model",
            purpose="train the reward model, and scale its scores on the base policy",
            settings=runs["reward_model"].identity,
            needs=("base_completions",),
            seconds=trainings.reward_model.seconds,
            work=lambda folder: train_and_normalise(context, runs["reward_model"], folder),
        ),
        training("judge_classifier", "train the classifier that judges, on other prompts"),
        training("judge_reward_model", "train the reward model that judges, on other prompts"),
        ppo_stage(context, runs["ppo"], borrowed=borrowed),
        Stage(
            name="comparison",
            purpose="compare base, filtered and distilled policy on test prompts",
            settings={
                "seed": context.seed,
                "path": options.path,
                "sampling": sampling,
                "rows": options.rows,
                "max_tries": options.filter.max_tries,
                "prompts": options.comparison.prompts,
                "confidence": options.comparison.confidence,
                "borrowed": borrowed,
            },
            needs=(
                *("generator", *own, "threshold", "reward_model"),
                *("judge_classifier", "judge_reward_model", "ppo"),
            ),
            seconds=options.comparison.seconds,
            work=lambda folder: {
                "policies": compare_policies(context, folder),
                "judges": judge_error_rates(context),
            },
        ),
    ]


def ppo_stage(context: Context, run: PlannedRun, *, borrowed: Mapping[str, Any], name: str = "ppo") -> Stage:
    """The distillation, under a name of its own where it is repeated."""
    own = ("classifier",) if context.options.classifier is None else ()
    return Stage(
        name=name,
        purpose="distil the filter into the generator by PPO",
        settings={**run.identity, "borrowed": dict(borrowed)},
        # The judges only watch, but the curves of a run must be of one judge.
        needs=("generator", *own, "reward_model", "judge_classifier", "judge_reward_model"),
        seconds=context.options.trainings.ppo.seconds,
        work=lambda folder: distil(run, folder),
    )


def _by_learner(runs: Mapping[str, PlannedRun]) -> dict[str, dict[str, PlannedRun]]:
    found: dict[str, dict[str, PlannedRun]] = {}
    for name, run in runs.items():
        found.setdefault(SHARES[name], {})[name] = run
    return found
