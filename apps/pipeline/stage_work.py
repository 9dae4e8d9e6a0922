"""What the stages of the pipeline do besides training: completions, threshold, scale of the quality, comparison."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.pipeline.context import Context
from apps.pipeline.generating import Cost, generate_to, read_rows, sample_to, sampler_of
from apps.pipeline.trainings import PlannedRun, train_in
from datamodules.prompt_files import read_prompts
from nines.errors import CheckpointError
from nines.files import read_json, write_json
from nines.run_folder import RunFolder

if TYPE_CHECKING:
    from nines.policies.attempts import Policy
    from nines.policies.sampler import Sampler

# Policies draw independently of each other: pairs that share an attempt would pull every comparison towards a tie.
SEEDS = {"base": 1_000, "filtered": 2_000, "distilled": 3_000, "threshold": 4_000}
POPULATIONS = ("all", "generated", "written", "plain", "natural")


def check_classifier(path: Path) -> dict[str, Any]:
    """A classifier that was not trained here, by its content.

    Raises:
        CheckpointError: There is none, or it has no threshold.
    """
    from lightning_modules.prediction import locate_checkpoint

    checkpoint, threshold = locate_checkpoint(path)
    if not threshold.is_file():
        raise CheckpointError(f"demo.classifier={path} has no {threshold.name} beside its checkpoint")
    digest = hashlib.sha256(checkpoint.read_bytes() + threshold.read_bytes()).hexdigest()
    return {"classifier": digest[:16]}


def held_out_prompts(context: Context, split: str, *, count: int | None) -> list[str]:
    """The first prompts of a held-out split, all if `count` is None; the file is in no order of meaning."""
    prompts = [prompt.text for prompt in read_prompts(context.options.path)[split]]
    return prompts[:count]


def fine_tune(run: PlannedRun, folder: Path) -> dict[str, Any]:
    """Train the language model; write `model/`, the base policy."""
    from lightning_modules.language_model import LanguageModelTraining

    metrics = train_in(run, folder)
    LanguageModelTraining.load_from_checkpoint(RunFolder(folder).best, map_location="cpu").export(folder / "model")
    return metrics


def complete_by_base(context: Context, folder: Path) -> dict[str, Any]:
    """Write `completions.jsonl`: several completions of validation prompts."""
    options = context.options.base_completions
    sampler = sampler_of(context.base, context.options.sampling, rows=context.options.rows, device=context.device)
    prompts = held_out_prompts(context, "valid", count=options.prompts)
    pairs = sample_to(
        folder / "completions.jsonl",
        prompts,
        each=options.each,
        seed=context.seed + SEEDS["threshold"],
        sampler=sampler,
    )
    return {"prompts": len(prompts), "completions": len(pairs)}


def _base_completions(context: Context) -> tuple[list[str], list[str]]:
    rows = read_rows(context.root / "base_completions" / "completions.jsonl")
    return [row["prompt"] for row in rows], [row["completion"] for row in rows]


def choose_threshold(context: Context, folder: Path) -> dict[str, Any]:
    """Write `threshold.json`: the lowest threshold that accepts the wanted share of the base policy's completions."""
    from lightning_modules.prediction import Predictor
    from nines.statistics.thresholds import threshold_at_acceptance

    prompts, completions = _base_completions(context)
    scores = Predictor.load(context.classifier, device=context.device).scores(
        list(zip(prompts, completions, strict=True))
    )
    share = context.options.filter.acceptance
    # A score of exactly 1 would put it above the range of probabilities.
    threshold = min(threshold_at_acceptance(scores, share=share), 1.0)
    found = {
        "threshold": threshold,
        "chosen_on": "valid",
        "how": "the lowest that accepts the wanted share of completions of the base policy, which have no labels",
        "acceptance_share": share,
        "resulting_acceptance_share": float((scores < threshold).mean()),
        "completions": len(completions),
        "prompts": len(set(prompts)),
    }
    write_json(folder / "threshold.json", found)
    return found


def train_and_normalise(context: Context, run: PlannedRun, folder: Path) -> dict[str, Any]:
    """Train the reward model; write `normalised.ckpt`, whose scores have mean 0 and variance 1 on the base policy."""
    from lightning_modules.reward_scorer import RewardScorer

    metrics = train_in(run, folder)
    scorer = RewardScorer.load(folder, device=context.device)
    scale = scorer.fit_normalisation(*_base_completions(context))
    scorer.save(context.reward_model)
    return {**metrics, "normalisation": dataclasses.asdict(scale)}


def distil(run: PlannedRun, folder: Path) -> dict[str, Any]:
    """Train by PPO; write `model/`, the policy with the best reward on validation prompts."""
    from lightning_modules.ppo_generator import PPOGenerator

    metrics = train_in(run, folder)
    PPOGenerator.load_from_checkpoint(RunFolder(folder).best, map_location="cpu").export(folder / "model")
    return metrics


def compare_policies(context: Context, folder: Path) -> dict[str, Any]:
    """Write the completions of the three policies and all verdicts; figures by policy."""
    prompts = comparison_prompts(context)
    rows, costs = {}, {}
    for name, make in policy_makers(context).items():
        rows[name], costs[name] = generate_to(
            folder / f"{name}.jsonl", prompts, seed=context.seed + SEEDS[name], make=make
        )
    return judged_figures(context, rows, costs, file=folder / "verdicts.jsonl")


def comparison_prompts(context: Context) -> list[str]:
    """The test prompts that policies are compared on."""
    return held_out_prompts(context, "test", count=context.options.comparison.prompts)


def judged_figures(
    context: Context, rows: Mapping[str, Sequence[Mapping[str, Any]]], costs: Mapping[str, Cost], *, file: Path
) -> dict[str, Any]:
    """Judge completions by policy, `base` among them, and write all verdicts to `file`; figures by policy."""
    from apps.pipeline.judging import judge_policies
    from lightning_modules.prediction import Predictor
    from lightning_modules.reward_scorer import RewardScorer

    predictors = {
        "judge": Predictor.load(context.root / "judge_classifier", device=context.device),
        "own": Predictor.load(context.classifier, device=context.device),
    }
    scorers = {
        "judge": RewardScorer.load(context.root / "judge_reward_model", device=context.device),
        "own": RewardScorer.load(context.reward_model, device=context.device),
    }
    judged = judge_policies(rows, costs, classifiers=predictors, reward_models=scorers, file=file)
    return {
        name: one.figures(
            judge_threshold=_threshold_of(predictors["judge"]),
            own_threshold=_threshold_of(predictors["own"]),
            confidence=context.options.comparison.confidence,
        )
        for name, one in judged.items()
    }


def policy_makers(
    context: Context, *, distilled: Path | None = None
) -> dict[str, Callable[[], tuple[Sampler, Policy]]]:
    """By name, what builds each policy with its sampler; models are loaded when it is called."""
    from lightning_modules.prediction import Predictor
    from nines.policies.base import BasePolicy, DistilledPolicy
    from nines.policies.filtered import FilteredPolicy
    from nines.policies.scoring import scorer_of_pairs

    options = context.options

    def sampler(source: str) -> Sampler:
        return sampler_of(source, options.sampling, rows=options.rows, device=context.device)

    def base() -> tuple[Sampler, Policy]:
        own = sampler(context.base)
        return own, BasePolicy(own)

    def filtered() -> tuple[Sampler, Policy]:
        own, predictor = sampler(context.base), Predictor.load(context.classifier, device=context.device)
        threshold = read_json(context.root / "threshold" / "threshold.json")["threshold"]
        scorer = scorer_of_pairs(predictor.scores)
        return own, FilteredPolicy(own, scorer, threshold=threshold, max_tries=options.filter.max_tries)

    def by_distillation() -> tuple[Sampler, Policy]:
        own = sampler(f"path:{distilled or context.root / 'ppo' / 'model'}")
        return own, DistilledPolicy(own)

    return {"base": base, "filtered": filtered, "distilled": by_distillation}


def judge_error_rates(context: Context) -> dict[str, Any]:
    """What the runs of both classifiers and reward models say of themselves on labelled rows, with intervals."""
    classifiers = {"judge": context.root / "judge_classifier", "own": context.classifier}
    models = {"judge": context.root / "judge_reward_model", "own": context.root / "reward_model"}
    return {
        "classifiers": {name: _classifier_figures(folder) for name, folder in classifiers.items()},
        "reward_models": {name: _preference_figures(folder) for name, folder in models.items()},
    }


def _classifier_figures(folder: Path) -> dict[str, Any]:
    """Threshold and, by split and population, error rates at it; no rates where there is no run with metrics."""
    run = RunFolder(folder)
    found: dict[str, Any] = {"threshold": read_json(run.threshold) if run.threshold.exists() else None}
    evaluation = read_json(run.metrics).get("evaluation", {}) if run.metrics.exists() else {}
    for split in ("valid", "test"):
        entries = evaluation.get(split, {}).get("populations", [])
        found[split] = {
            entry["population"]: {key: entry[key] for key in ("fnr", "fpr", "auroc", "prevalence")}
            for entry in entries
            if entry["unsure"] == "dropped" and entry["population"] in POPULATIONS
        }
    return found


def _preference_figures(folder: Path) -> dict[str, Any]:
    path = RunFolder(folder).metrics
    metrics = read_json(path)["metrics"] if path.exists() else {}
    names = ("accuracy", "accuracy_lower", "accuracy_upper", "log_loss")
    return {
        split: {name: metrics[f"{split}/{name}"] for name in names if f"{split}/{name}" in metrics}
        for split in ("valid", "test")
    }


def _threshold_of(predictor: Any) -> float:
    """The one that was fixed on labelled validation rows.

    Raises:
        CheckpointError: There is none.
    """
    if predictor.threshold is None:
        raise CheckpointError("a classifier of the comparison has no threshold.json beside its checkpoint")
    threshold: float = predictor.threshold
    return threshold
