"""`results.json`: all figures of the pipeline, with what they rest on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from apps.pipeline.context import Context
from apps.pipeline.stages import Stage, StageRecord

POLICIES = ("base", "filtered", "distilled")
LABELS = (
    "All labels and preferences that anything here was trained or judged on were made by language models, not people."
)


def results(context: Context, stages: Sequence[Stage], records: Mapping[str, StageRecord]) -> dict[str, Any]:
    """Everything that the table and the report show, as JSON values."""
    comparison = records["comparison"].figures
    policies, judges = comparison["policies"], comparison["judges"]
    return {
        "size": context.options.size,
        "seed": context.seed,
        "confidence": context.options.comparison.confidence,
        "policies": policies,
        "judges": judges,
        "against_base": {name: _against_base(policies, name) for name in POLICIES if name != "base"},
        "threshold": records["threshold"].figures,
        "ppo": records["ppo"].figures,
        "division": records["division"].figures,
        "borrowed_classifier": context.options.classifier,
        "stages": [
            {
                "name": stage.name,
                "purpose": stage.purpose,
                "expected_seconds": stage.seconds,
                "seconds": records[stage.name].seconds,
            }
            for stage in stages
        ],
        "seconds": sum(records[stage.name].seconds for stage in stages),
        "sampling": asdict(context.options.sampling),
        "assumed": assumptions(context),
        "not_measured": NOT_MEASURED,
    }


def _against_base(policies: Mapping[str, Any], name: str) -> dict[str, float | None]:
    """Failure rates as a share of the base policy's; None where that has none."""
    found: dict[str, float | None] = {}
    for who in ("judge", "own"):
        base = policies["base"]["failure_rate"][who]["estimate"]
        found[f"failure_rate_{who}"] = policies[name]["failure_rate"][who]["estimate"] / base if base > 0 else None
    return found


def assumptions(context: Context) -> list[str]:
    """Sentences on what the figures rest on."""
    found = [
        LABELS,
        "The verdict of the judge is taken as it comes, uncorrected for its own errors, which are stated beside it.",
        "A judge makes its errors on labelled rows, which were written by hand or sampled from another model; on the "
        "completions of these policies they may be more frequent.",
        "Each policy draws with random numbers of its own, one delivered completion for each test prompt, so prompts "
        "are taken as independent.",
    ]
    if context.options.classifier is not None:
        found.append(
            f"The classifier was given ({context.options.classifier}), not trained here: it may have seen prompts of "
            "the other shares, the judges' and PPO's among them."
        )
    return found


NOT_MEASURED = [
    "Whether people would call these completions injurious, or better: no person has read them.",
    "The noise of training: every model was trained once. `python -m benchmarks.ppo_seeds` repeats the distillation.",
    "Attacks: prompts that were made to bring injuries about, or completions that were made to fool a classifier.",
    "Prompts that are unlike the embedded ones.",
]
