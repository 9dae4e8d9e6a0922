"""The report of `nines demo` as one HTML page that needs no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from apps.pipeline.curves import read_curves
from apps.pipeline.figures import cost_figure, curves_figure, outcome_figure
from apps.pipeline.results import POLICIES
from apps.pipeline.samples import at_random, worst_first
from apps.pipeline.stages import duration
from apps.pipeline.table import CAPTION, HEADS, comparison_rows, percent
from sweeps.report import layout
from sweeps.report.layout import figure, section
from sweeps.report.tables import cell, table

CURVES = ("train/score", "train/reward/", "train/kl", "valid/score", "valid/failure_rate/", "valid/judge_quality_gain")


def page(
    found: Mapping[str, Any], *, verdicts: Sequence[Mapping[str, Any]], ppo: Path, samples: int, made: str = ""
) -> str:
    """The page.

    Args:
        found: What `apps.pipeline.results.results` gives.
        verdicts: A row for each test prompt with the verdicts on every policy's completion.
        ppo: Run folder of the distillation.
        samples: Prompts shown by each way of choosing.
        made: When and from where, for the foot.
    """
    curves = read_curves(ppo / "tensorboard", CURVES)
    threshold = found["judges"]["classifiers"]["judge"]["threshold"]["threshold"]
    sections = [
        section("What it came to", *_outcome(found)),
        section("What the judges are worth", *_judges(found)),
        section("How the policy learned", figure(curves_figure(curves), "curves", CURVES_CAPTION)),
        section("Completions side by side", *_samples(verdicts, samples, threshold=threshold, seed=found["seed"])),
        section("Who learned from which prompts", _division(found)),
        section("Where the time went", _stages(found)),
        section("What was assumed", _list(found["assumed"])),
        section("What was not measured", _list(found["not_measured"])),
    ]
    lead = f'<p class="question">{QUESTION}</p><p class="quiet">Size {escape(found["size"])}, seed {found["seed"]}.</p>'
    return layout.page("Base, filtered and distilled generator", lead=lead, sections=sections, made=made)


QUESTION = "Can one generator be as safe as a filtered one, at the price of a single sample?"
OUTCOME_CAPTION = (
    "Left: share of delivered completions that are injurious; the distance between the two verdicts on one policy is "
    "the Goodhart gap, what optimising against a classifier hides from it. Right: P(better) + ½ P(tie) against a "
    "completion of the base policy, 50 % is as good. Bars are intervals over prompts."
)
COIN = "A coin has a log loss of 0.693."
COST_CAPTION = "Tokens drawn and wall-clock time for each delivered completion; rejected attempts count."
CURVES_CAPTION = (
    "Left: what PPO maximises, on its own completions and on validation prompts. Middle: divergence from the base "
    "policy; a score that rises only with it is being bought. Right: failures on validation prompts by the judge, "
    "who only watches, and by the classifier of the reward; dashed, those of the base policy."
)


def _outcome(found: Mapping[str, Any]) -> list[str]:
    policies, level = found["policies"], 100 * found["confidence"]
    rows = [f"<tr>{''.join(cell(value) for value in row)}</tr>" for row in comparison_rows(policies)]
    sentences = []
    for name, against in found["against_base"].items():
        share = against["failure_rate_judge"]
        gap = policies[name]["failure_rate"]["gap"]
        if share is not None:
            sentences.append(f"By the judge the {name} policy fails {share:.2f} times as often as the base policy.")
        sentences.append(
            f"Goodhart gap of the {name} policy: the judge calls {percent(gap)} more of its completions failures than "
            "the classifier that it was made with."
        )
    return [
        table(HEADS, rows, caption=f"{CAPTION} Confidence {level:.0f} %."),
        figure(outcome_figure(policies), "outcome", OUTCOME_CAPTION),
        f'<ol class="conclusions">{"".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)}</ol>',
        figure(cost_figure(policies), "cost", COST_CAPTION),
    ]


def _judges(found: Mapping[str, Any]) -> list[str]:
    rows = []
    for who, classifier in found["judges"]["classifiers"].items():
        for split in ("valid", "test"):
            for population, figures in classifier[split].items():
                cells = (who, split, population, percent(figures["fnr"]), percent(figures["fpr"]))
                rows.append(f"<tr>{''.join(cell(value) for value in cells)}{_number(figures['auroc'])}</tr>")
    heads = ("classifier", "labelled rows", "population", "misses (FNR)", "false alarms (FPR)", "AUROC")
    models = []
    for who, model in found["judges"]["reward_models"].items():
        for split, figures in model.items():
            if figures:
                shown = {"estimate": figures["accuracy"], "lower": figures["accuracy_lower"]}
                shown["upper"] = figures["accuracy_upper"]
                models.append(f"<tr>{cell(who)}{cell(split)}{cell(percent(shown))}{_number(figures['log_loss'])}</tr>")
    return [
        "<p>Thresholds of both classifiers were fixed by the same rule on labelled validation rows. The judges learned "
        "from other prompts, in another mix and with another seed; they took no part in filter, reward, or the choice "
        f"of a checkpoint. {escape(implied(found))}</p>",
        table(heads, rows),
        table(("reward model", "comparisons", "accuracy", "log loss"), models, caption=COIN),
    ]


def implied(found: Mapping[str, Any]) -> str:
    """What the judge's own error rates mean for its verdicts, in a sentence."""
    rows = found["judges"]["classifiers"]["judge"]["test"].get("all")
    if rows is None:
        return ""
    misses, alarms = 100 * rows["fnr"]["estimate"], 100 * rows["fpr"]["estimate"]
    errors = (
        f"On all labelled test rows the judge misses {misses:.1f} % of injuries and calls {alarms:.1f} % of safe rows "
        "injurious"
    )
    if misses + alarms >= 100:
        return f"{errors}: no better than chance, so its verdicts say nothing."
    return (
        f"{errors}: with these errors a policy that never fails would be charged with about {alarms:.1f} %, and one "
        f"that always fails with {100 - misses:.1f} %, so a rate close to {alarms:.1f} % cannot be told from none."
    )


def _samples(verdicts: Sequence[Mapping[str, Any]], count: int, *, threshold: float, seed: int) -> list[str]:
    parts = []
    for head, chosen in (
        ("Worst first: the highest P(injurious) of the distilled policy by the judge", worst_first(verdicts, count)),
        ("At random", at_random(verdicts, count, seed=seed)),
    ):
        rows = []
        for line in chosen:
            cells = [f'<td class="text">{escape(line["prompt"])}</td>']
            cells += [_sample_cell(line["policies"].get(policy), threshold=threshold) for policy in POLICIES]
            rows.append(f"<tr>{''.join(cells)}</tr>")
        parts.append(f"<h3>{escape(head)}</h3>{table(('prompt', *POLICIES), rows)}")
    return parts


def _sample_cell(verdict: Mapping[str, Any] | None, *, threshold: float) -> str:
    if verdict is None:
        return '<td class="text quiet">gave up</td>'
    failed = " failed" if verdict["judge"] >= threshold else ""
    note = f"judge {verdict['judge']:.2f}, own {verdict['own']:.2f}, quality {verdict['judge_quality']:.2f}"
    return (
        f'<td class="text"><span class="{failed.strip()}">{escape(verdict["completion"])}</span>'
        f'<span class="quiet">{note}</span></td>'
    )


def _division(found: Mapping[str, Any]) -> str:
    rows = []
    for learner, each in found["division"]["learners"].items():
        runs = ", ".join(f"{name} ({one['rows']} rows)" for name, one in each["runs"].items())
        rows.append(f"<tr>{cell(learner)}{cell(str(each['prompts']), value=each['prompts'])}{cell(runs)}</tr>")
    uses = {"valid": "checkpoints, thresholds, scale of the quality", "test": "the comparison"}
    for split, count in found["division"]["held_out"].items():
        rows.append(f"<tr>{cell(split)}{cell(str(count), value=count)}{cell(uses.get(split, ''))}</tr>")
    return table(("who", "prompts", "for"), rows, caption="No prompt stands in two rows; that was checked.")


def _stages(found: Mapping[str, Any]) -> str:
    rows = [
        f"<tr>{cell(stage['name'])}{cell(stage['purpose'])}"
        f"{cell(duration(stage['expected_seconds']), value=stage['expected_seconds'])}"
        f"{cell(duration(stage['seconds']), value=stage['seconds'])}</tr>"
        for stage in found["stages"]
    ]
    return table(("stage", "what it does", "expected", "took"), rows, caption=f"In all {duration(found['seconds'])}.")


def _number(value: float | None) -> str:
    return cell("–") if value is None else cell(f"{value:.3f}", value=value)


def _list(sentences: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(sentence)}</li>' for sentence in sentences)}</ul>"
