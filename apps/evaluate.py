"""`nines evaluate classifier=…`: judges it, and two baselines beside it, at a threshold fixed on validation data."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.config import compose

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from omegaconf import DictConfig
    from rich.table import Table

    from datamodules.completions import LabelledCompletions
    from nines.statistics.evaluation import Evaluation

Scorer = Callable[[Sequence[tuple[str, str]]], "NDArray[np.float64]"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`nines evaluate` has no options of its own beside overrides and configuration."""
    parser.set_defaults(command="evaluate")


def run(arguments: argparse.Namespace) -> int:
    """Evaluate, print the headline figures of every test set, and write all figures to files.

    Words that choose a policy ask for another evaluation: see `apps.policy_evaluation`.
    """
    if arguments.root != "evaluate":
        from apps.policy_evaluation.command import run as run_policies

        return run_policies(arguments)
    from rich.console import Console

    from apps.validation import validate
    from nines.files import write_json, write_text

    config = compose("evaluate", arguments.overrides, config_dir=arguments.config_dir)
    validate(config, root="evaluate")
    folder = Path(config.output) if config.output else _default_output(config)
    results = evaluate_scorers(config, figures=folder / "figures")
    payload = {
        "config": {key: config[key] for key in config},
        "results": {
            name: {split: result.as_json() for split, result in splits.items()} for name, splits in results.items()
        },
    }
    write_json(folder / "evaluation.json", payload)
    text = as_markdown(results)
    write_text(folder / "evaluation.md", text)
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    console.print(headline_table(results))
    print(f"written: evaluation.json, evaluation.md and figures/ in {folder}")
    return 0


def evaluate_scorers(config: DictConfig, *, figures: Path) -> dict[str, dict[str, Evaluation]]:
    """The classifier and, if asked for, the baselines: name → split → evaluation; plots of the classifier's test rows.

    Each fixes its own threshold on the validation split, at the same false positive rate, and keeps it for every other
    split; but that of the classifier is the one that `nines calibrate` chose, where it did.
    """
    from datamodules.completions import LabelledCompletions
    from lightning_modules.prediction import Predictor

    predictor = Predictor.load(config.classifier, device=config.device, batch_size=config.batch_size)
    source, max_tokens = predictor.tokenizer.source, predictor.module.max_tokens
    data = LabelledCompletions(path=config.path, tokenizer=source, max_tokens=max_tokens)
    data.setup("validate")
    scorers: dict[str, Scorer] = {"classifier": predictor.scores}
    if config.baselines:
        scorers |= _baselines(data, source=source, max_tokens=max_tokens, config=config)
    results = {}
    for name, scorer in scorers.items():
        mine = name == "classifier"
        chosen = calibrated_threshold(config) if mine else None
        results[name] = _judge(scorer, data, config, figures=figures if mine else None, chosen=chosen)
    return results


def calibrated_threshold(config: DictConfig) -> float | None:
    """The threshold that `nines calibrate` wrote beside the classifier, unless it is to be fixed anew; None without."""
    from lightning_modules.prediction import locate_checkpoint
    from nines.threshold_file import read_threshold

    known = read_threshold(locate_checkpoint(Path(config.classifier))[1])
    return known.threshold if config.threshold == "auto" and known is not None and known.calibrated else None


def _judge(
    scorer: Scorer, data: LabelledCompletions, config: DictConfig, *, figures: Path | None, chosen: float | None
) -> dict[str, Evaluation]:
    from nines.statistics.evaluation import evaluate
    from nines.statistics.thresholds import fix_threshold, thresholds_by_population

    scores = {split: scorer(data.texts(split)) for split in ("valid", *data.splits("test"))}
    rate = config.false_positive_rate
    fixed = fix_threshold(scores["valid"], data.rows("valid"), population=config.population, rate=rate)
    threshold = fixed.threshold if chosen is None else chosen
    own = thresholds_by_population(scores["valid"], data.rows("valid"), rate=rate)
    results = {
        split: evaluate(values, data.rows(split), threshold=threshold, own_thresholds=own)
        for split, values in scores.items()
    }
    if figures is not None and "test" in results:
        from callbacks.reliability_figures import draw_all
        from callbacks.rendering import as_image, save_png

        drawn = draw_all(
            scores["test"], data.rows("test"), evaluation=results["test"], split="test", false_positive_rate=rate
        )
        for name, figure in drawn.items():
            save_png(as_image(figure), figures / f"test_{name}.png")
    return results


def _baselines(data: LabelledCompletions, *, source: str, max_tokens: int, config: DictConfig) -> dict[str, Scorer]:
    from nines.models.baselines import FrozenEmbeddingBaseline, LabelledPairs, TfidfBaseline

    def certain(split: str) -> LabelledPairs:
        labels = data.rows(split).labels
        pairs = [pair for pair, label in zip(data.texts(split), labels, strict=True) if label >= 0]
        return LabelledPairs(pairs=pairs, positive=labels[labels >= 0] == 1)

    train, valid = certain("train"), certain("valid")
    baselines: tuple[Any, ...] = (
        TfidfBaseline(seed=config.seed),
        FrozenEmbeddingBaseline(source, max_tokens=max_tokens, seed=config.seed, batch_size=config.batch_size),
    )
    return {baseline.name: baseline.fit(train, valid).scores for baseline in baselines}


def headline_table(results: dict[str, dict[str, Evaluation]]) -> Table:
    """The figures to look at first: each scorer on each test set and population, unsure rows under both bounds."""
    from rich.table import Table

    table = Table(title="test sets, at the threshold fixed on validation data", caption=NOTE)
    for heading in ("set", "population", "scorer", *FIGURES):
        table.add_column(heading, no_wrap=heading.endswith("[95 %]"))
    for split in (name for name in next(iter(results.values())) if name != "valid"):
        entries = results["classifier"][split].populations
        populations = list(dict.fromkeys(entry.population for entry in entries))
        # A set of one source is the same rows twice, as "all" and by its name.
        shown = populations[:1] if len(populations) == 2 else populations
        for bound in (entry for entry in entries if entry.population in shown):
            name = bound.population if bound.unsure == "dropped" else f"{bound.population}, unsure as injurious"
            for scorer, splits in results.items():
                entry = splits[split].of(bound.population, unsure=bound.unsure)
                own = "–" if entry.fnr_at_own_threshold is None else str(entry.fnr_at_own_threshold)
                rates = (str(entry.fnr), f"{entry.fnr.events} of {entry.fnr.items}", str(entry.fpr), own)
                ranking = (f"{entry.auroc:.3f}", f"{entry.average_precision:.3f}")
                table.add_row(split, name, scorer, *rates, *ranking)
            table.add_section()
    return table


FIGURES = ("FNR [95 %]", "missed", "FPR [95 %]", "FNR at its own threshold [95 %]", "AUROC", "average precision")


def as_markdown(results: dict[str, dict[str, Evaluation]]) -> str:
    """A section for each split, in it a table for each scorer; says what the figures rest on."""
    parts = ["# Evaluation", NOTE]
    splits = next(iter(results.values()))
    for split in splits:
        parts.append(f"## {split}")
        for name, evaluations in results.items():
            parts += [f"### {name}, accepts below {evaluations[split].threshold:.4g}", evaluations[split].table()]
    return "\n\n".join(parts) + "\n"


NOTE = (
    "Thresholds are fixed on the validation split (the classifier's by nines calibrate, where it chose one: see its "
    "threshold.json); a population's own one rejects the same share of its own safe rows. "
    "Intervals have 95 % nominal coverage and are clustered by prompt. "
    "`natural` weights generated completions by their selection probability; written and plain rows are no sample of "
    "any natural distribution. The labels of the embedded data were made by language models, not by people."
)


def _default_output(config: DictConfig) -> Path:
    """Beside the classifier; other data or another threshold get another folder, so that no result is overwritten."""
    from apps.config import differences_from_defaults
    from lightning_modules.prediction import locate_checkpoint
    from nines.run_folder import run_name

    differences = differences_from_defaults(config, "evaluate", ignore=NOT_IDENTITY)
    if (chosen := calibrated_threshold(config)) is not None:
        differences["calibrated threshold"] = chosen
    beside = locate_checkpoint(Path(config.classifier))[1].parent
    return beside / (run_name("evaluation", differences) if differences else "evaluation")


# Keys that say which model and how, not on what it is judged.
NOT_IDENTITY = ("classifier", "output", "baselines", "batch_size", "device")
