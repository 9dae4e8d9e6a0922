"""`nines evaluate policy=…`: complete, judge, compare, report; what is on disk already is not done again."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from apps.config import compose, differences_from_defaults
from nines.errors import ConfigError, UserError, nearest

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from apps.policy_evaluation.completions import PolicyRun
    from apps.policy_evaluation.figures import Strata
    from apps.policy_evaluation.judging import FailureJudge, QualityJudge
    from apps.policy_evaluation.outcome import Outcome
    from apps.policy_evaluation.people import PeoplesVerdict
    from datamodules.prompt_files import Prompt

ROOT = "evaluate_policy"
# What changes no completion, and may be asked for later on the same ones.
NOT_IDENTITY = ("runs", "output", "rows", "device", "threads", "label_budget", "continuations")


def run(arguments: argparse.Namespace) -> int:
    """Evaluate, print the headlines, and write report, figures and completions."""
    from apps.validation import validate
    from nines.run_folder import run_name

    config = compose(ROOT, arguments.overrides, config_dir=arguments.config_dir)
    validate(config, root=ROOT)
    policy, against = _names(config)
    name = run_name(f"{policy}-against-{against}", differences_from_defaults(config, ROOT, ignore=NOT_IDENTITY))
    folder = Path(config.output) if config.output else Path(config.runs) / "evaluate" / name
    outcome = evaluate(config, folder=folder)
    write(outcome, folder)
    print(f"\n{policy} against {against}, {len(outcome.runs[0].generations)} prompts")
    for sentence in outcome.headlines():
        print(f"- {sentence}")
    for sentence in outcome.unmeasured[:2]:
        print(f"  not measured: {sentence}")
    for file, count in outcome.waiting.items():
        print(f"{count} completions wait for yes, no or unsure in the field `label` of {file}; then this command again")
    print(f"written: report.html, evaluation.json, completions and tensorboard/ in {folder}")
    return 0


def evaluate(config: DictConfig, *, folder: Path) -> Outcome:
    """Everything from completions to figures.

    Args:
        config: A composed and validated configuration.
        folder: Where completions are kept and continued.

    Raises:
        UserError: A model, a judge or prompts are missing.
    """
    from omegaconf import OmegaConf

    from apps.policy_evaluation import sentences
    from apps.policy_evaluation.completions import against_config, complete, side_config
    from apps.policy_evaluation.figures import failure_rates, qualities
    from apps.policy_evaluation.outcome import Outcome
    from apps.policy_evaluation.understanding import understanding
    from nines.files import require_writable

    policy, against = _names(config)
    require_writable(folder, key="output")
    sides = (
        side_config(config, policy=config.policy),
        side_config(config, policy=OmegaConf.create(against_config(against))),
    )
    prompts = read_target(config)
    strata = _strata(config, prompts)
    coupled = _coupled(config, policy, against)
    texts = [prompt.text for prompt in prompts]
    seeds = (config.seed, config.seed if coupled else config.seed + 1)
    # Two sides of one name (two settings of the filter, say) must stay apart in files and figures.
    labels = (policy, against if against != policy else f"{against} (defaults)")
    runs = tuple(
        complete(side, texts, name=label, seed=seed, file=folder / f"{role}.jsonl")
        for side, label, seed, role in zip(sides, labels, seeds, ("policy", "against"), strict=True)
    )
    failures = _failure_judges(config, runs)
    quality_judges = _quality_judges(config, runs)
    understood = []
    if config.continuations:
        if not failures:
            raise UserError("continuations are read by a judge of failures: give judge.classifier=<run folder>")
        understood = [
            understanding(run, failures[0], side, continuations=config.continuations, seed=config.seed + 2)
            for run, side in zip(runs, sides, strict=True)
        ]
    asked = _people(config, runs, failures, strata, folder=folder)
    people = [rate for one in asked for rate in one.rates]
    shares = {name: float(strata.weights[strata.names == name].sum()) for name in sorted(set(strata.names.tolist()))}
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    return Outcome(
        config={str(key): value for key, value in plain.items()},
        runs=(runs[0], runs[1]),
        judges=failures,
        rates=[*people, *failure_rates(runs, failures, strata)],
        qualities=qualities(runs[0], runs[1], quality_judges, strata),
        understood=understood,
        shares=shares,
        assumed=tuple(
            sentences.assumptions(
                runs,
                coupled=coupled,
                target=_target_in_words(config, len(prompts)),
                failures=failures,
                people=bool(people),
            )
        ),
        waiting={str(one.file): one.waiting for one in asked if one.waiting},
        unmeasured=tuple(
            sentences.not_measured(
                failures,
                quality_judges,
                people=bool(people),
                understood=bool(understood),
                threshold_given=config.threshold is not None,
            )
        ),
    )


def write(outcome: Outcome, folder: Path) -> None:
    """`report.html`, `evaluation.json`, and the same figures for TensorBoard."""
    from torch.utils.tensorboard import SummaryWriter

    from apps.policy_evaluation.page import report_page
    from nines.files import write_json, write_text

    moment = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    write_json(folder / "evaluation.json", outcome.as_json())
    write_text(folder / "report.html", report_page(outcome, made=f"Made {moment} from {folder}."))
    with SummaryWriter(str(folder / "tensorboard")) as writer:
        for name, value in outcome.scalars().items():
            writer.add_scalar(name, value, 0)


def read_target(config: DictConfig) -> list[Prompt]:
    """The prompts to judge on.

    Raises:
        ConfigError: There is no such split, or the prompts lack what the target is told by.
    """
    from datamodules.prompt_files import place, read_prompts

    splits = read_prompts(config.prompts)
    if config.split not in splits:
        raise ConfigError(
            f"split={config.split}: {config.prompts} has none of that name; {nearest(config.split, splits)}"
        )
    prompts = splits[config.split]
    if config.limit_prompts is not None:
        prompts = sorted(prompts, key=lambda prompt: place(prompt.text, "evaluation"))[: config.limit_prompts]
    if config.target.by is not None and any(getattr(prompt, config.target.by) is None for prompt in prompts):
        raise ConfigError(
            f"target.by={config.target.by}: not every prompt of {config.prompts} says its {config.target.by}"
        )
    return prompts


def _strata(config: DictConfig, prompts: Sequence[Prompt]) -> Strata:
    import numpy as np

    from apps.policy_evaluation.figures import Strata
    from nines.statistics.target import target_weights

    by = config.target.by
    if by is None and config.target.shares is not None:
        raise ConfigError("target.shares needs target.by=risk or target.by=genre: shares of what?")
    names = [str(getattr(prompt, by)) if by else "prompts" for prompt in prompts]
    shares = None if config.target.shares is None else {str(k): float(v) for k, v in config.target.shares.items()}
    _, clusters = np.unique([prompt.text for prompt in prompts], return_inverse=True)
    return Strata(np.array(names), target_weights(names, shares), clusters.astype(np.int64))


def _target_in_words(config: DictConfig, count: int) -> str:
    words = f"{count} prompts of {config.prompts}, split {config.split}"
    if config.target.shares is None:
        return f"{words}, every one counting the same"
    shares = ", ".join(f"{name} {share:g}" for name, share in config.target.shares.items())
    return f"{words}, weighted by {config.target.by} ({shares})"


def _names(config: DictConfig) -> tuple[str, str]:
    from apps.policy_evaluation.completions import policy_name

    return policy_name(str(config.policy._target_)), str(config.against)


def _coupled(config: DictConfig, policy: str, against: str) -> bool:
    """Whether both may draw with the same random numbers without a change in the expected quality.

    The first accepted of the base policy's own draws is an independent draw wherever the first was rejected. The safest
    of a batch, the best of n, and another model's completions are not.
    """
    return (policy, against) == ("filtered", "base") and config.policy.selection == "first_accepted"


def _failure_judges(config: DictConfig, runs: Sequence[PolicyRun]) -> list[FailureJudge]:
    from apps.policy_evaluation.judging import judge_failures

    judge, found = config.judge, []
    if judge.classifier is not None:
        same = config.classifier is not None and Path(judge.classifier).resolve() == Path(config.classifier).resolve()
        found.append(
            judge_failures(
                runs,
                name="the filter's own classifier" if same else "judge",
                folder=judge.classifier,
                threshold=judge.threshold,
                independent=not same,
                device=config.device,
            )
        )
    if config.classifier is not None and all(one.independent for one in found):
        found.append(
            judge_failures(
                runs,
                name="the filter's own classifier",
                folder=config.classifier,
                threshold=config.threshold,
                independent=False,
                device=config.device,
            )
        )
    return found


def _people(
    config: DictConfig, runs: Sequence[PolicyRun], failures: Sequence[FailureJudge], strata: Strata, *, folder: Path
) -> list[PeoplesVerdict]:
    from apps.policy_evaluation.people import ask_people

    budgets = (config.label_budget - config.label_budget // 2, config.label_budget // 2)
    return [
        ask_people(
            run,
            failures[0] if failures else None,
            strata,
            budget=budget,
            seed=config.seed,
            file=folder / f"labels-{role}.jsonl",
        )
        for run, budget, role in zip(runs, budgets, ("policy", "against"), strict=True)
        if budget
    ]


def _quality_judges(config: DictConfig, runs: Sequence[PolicyRun]) -> list[QualityJudge]:
    from apps.policy_evaluation.judging import judge_quality

    if config.judge.reward_model is None:
        return []
    return [judge_quality(runs[0], runs[1], name="judge", folder=config.judge.reward_model, device=config.device)]
