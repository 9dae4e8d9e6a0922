"""Which labels to buy, how accurate they must be, and what ensembles are worth.

    python -m benchmarks.labelling active_learning --figure docs/figures/active_learning.png
    python -m benchmarks.labelling labellers
    python -m benchmarks.labelling ensembles --members 10

Heads with one hidden layer on the embeddings of the untrained MiniLM stand for the classifier, since hundreds of them
are trained: absolute figures are those of a weak classifier. Thresholds come from validation, figures from the test
split, and nothing was tuned on it. Intervals are Student's over seeds: they say how far the choice of the first labels
and the training matter, not how far another test split would differ.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.labelling.active_learning import DECIDING, RANDOM, SELECTING, SIGNALS, decide, learn
from benchmarks.labelling.ensembles import compare
from benchmarks.labelling.figure import draw
from benchmarks.labelling.labellers import labelled_by
from benchmarks.labelling.material import Material, embedded, mean_of
from benchmarks.paired import write_figures
from nines.errors import ConfigError, NinesError

BUDGETS = (200, 400, 600, 800, 1000, 1200, 1600)


def active_learning(splits: dict[str, Material], options: argparse.Namespace) -> dict[str, Any]:
    """Learning curves of all strategies, and the signals that decide instead."""
    curves: dict[str, list[list[dict[str, float]]]] = {name: [] for name in SIGNALS}
    decided: dict[str, list[dict[str, dict[str, float]]]] = {}
    for seed in range(options.seed, options.seed + options.seeds):
        for name in SIGNALS:
            curve, ensemble = learn(splits, name, budgets=options.budgets, members=options.members, seed=seed)
            curves[name].append(curve)
            for signal, deciding in DECIDING.items():
                if name in (RANDOM, SELECTING[signal]):
                    found = decide(splits, ensemble, deciding, seed=seed)
                    bought = "bought by chance" if name == RANDOM else f"bought by it ({name})"
                    decided.setdefault(f"{signal}, {bought}", []).append(found)
        print(f"seed {seed} is done", file=sys.stderr, flush=True)
    _print_curves(curves, options.budgets)
    _print_decisions(decided)
    if options.figure:
        caption = (
            f"Heads on frozen MiniLM, {options.members} members, mean over {options.seeds} seeds, bands: lowest to "
            "highest seed.\nLook for a curve below random in the left panel by more than the bands are wide."
        )
        draw(curves, options.figure, caption=caption)
        print(f"figure: {options.figure}")
    return {"curves": curves, "decided": decided}


def _print_curves(curves: dict[str, list[list[dict[str, float]]]], budgets: Sequence[int]) -> None:
    shown = sorted({1, len(budgets) // 2, len(budgets) - 1})
    print(
        f"| strategy | injurious among {budgets[-1]} | " + " | ".join(f"FNR, {budgets[i]} labels" for i in shown),
        end="",
    )
    print(f" | natural FNR, {budgets[-1]} | partial AUC, {budgets[-1]} | FNR less random's, mean over budgets |")
    print("|---" * (len(shown) + 5) + "|")
    for name, seeds in curves.items():
        cells = [name, mean_of([seed[-1] for seed in seeds], "injurious")]
        cells += [mean_of([seed[place] for seed in seeds], "fnr") for place in shown]
        cells += [mean_of([seed[-1] for seed in seeds], key) for key in ("natural_fnr", "partial_auc")]
        less = [
            {"fnr": float(np.mean([one["fnr"] - other["fnr"] for one, other in zip(seed[1:], base[1:], strict=True)]))}
            for seed, base in zip(seeds, curves[RANDOM], strict=True)
        ]
        cells.append("" if name == RANDOM else mean_of(less, "fnr"))
        print(f"| {' | '.join(cells)} |")


def _print_decisions(decided: dict[str, list[dict[str, dict[str, float]]]]) -> None:
    print("\n| signal, labels | decided by | FNR | natural FNR | partial AUC | FNR less the score's alone |")
    print("|---|---|---|---|---|---|")
    for name, seeds in decided.items():
        for how in seeds[0]:
            cells = [mean_of([seed[how] for seed in seeds], key) for key in ("fnr", "natural_fnr", "partial_auc")]
            less = [{"fnr": seed[how]["fnr"] - seed["score alone"]["fnr"]} for seed in seeds]
            print(f"| {name} | {how} | {' | '.join(cells)} | {'' if how == 'score alone' else mean_of(less, 'fnr')} |")


def ensembles(splits: dict[str, Material], unlabelled: Any, options: argparse.Namespace) -> dict[str, Any]:
    """Singles, ensemble and students over seeds."""
    found = []
    for seed in range(options.seed, options.seed + options.seeds):
        found.append(compare(splits, unlabelled, members=options.members, seed=seed))
        print(f"seed {seed} is done", file=sys.stderr, flush=True)
    print("| classifier | heads a completion | training steps | FNR | natural FNR | partial AUC | log loss |")
    print("|---|---|---|---|---|---|---|")
    for name in found[0]:
        seeds = [one[name] for one in found]
        cells = [mean_of(seeds, key) for key in ("fnr", "natural_fnr", "partial_auc", "log_loss")]
        print(f"| {name} | {seeds[0]['passes']:g} | {seeds[0]['steps']:g} | {' | '.join(cells)} |")
    print(
        "rank correlation of the student's knowledge uncertainty with the ensemble's: "
        + mean_of([one["student of the distribution"] for one in found], "knowledge_correlation")
    )
    return {"seeds": found}


def labellers(splits: dict[str, Material], options: argparse.Namespace) -> dict[str, Any]:
    """Labellers of several accuracies, and three ways of spending the same number of readings on them."""
    found: dict[str, list[dict[str, float]]] = {}
    for seed in range(options.seed, options.seed + options.seeds):
        for name, figures in labelled_by(splits, members=options.members, seed=seed).items():
            found.setdefault(name, []).append(figures)
        print(f"seed {seed} is done", file=sys.stderr, flush=True)
    print(
        "| missed, false alarms; readings bought; how they are spent | wrong labels | FNR | natural FNR | partial AUC |"
    )
    print("|---|---|---|---|---|")
    for name, seeds in found.items():
        cells = [mean_of(seeds, key) for key in ("wrong", "fnr", "natural_fnr", "partial_auc")]
        print(f"| {name} | {' | '.join(cells)} |")
    return {"seeds": found}


def parser() -> argparse.ArgumentParser:
    """The options."""
    found = argparse.ArgumentParser(
        prog="python -m benchmarks.labelling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = found.add_argument
    add("experiment", choices=("active_learning", "labellers", "ensembles"))
    add("--seeds", type=int, default=5, help="repetitions (5)")
    add("--seed", type=int, default=0, help="the first (0)")
    add("--members", type=int, default=5, help="heads of an ensemble (5)")
    add("--budgets", type=int, nargs="+", default=BUDGETS, metavar="N", help="labels in all after each round")
    add("--figure", type=Path, metavar="PNG", help="also draw the learning curves here")
    add("--json", type=Path, help="also write all figures here")
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run, print, and write; 2 for a user's mistake, with one line that says what it is."""
    options = parser().parse_args(arguments)
    try:
        if options.seeds < 1 or options.members < 1 or list(options.budgets) != sorted(set(options.budgets)):
            raise ConfigError("--seeds and --members must be at least 1, --budgets must ascend")
        splits, unlabelled = embedded()
        if options.experiment == "ensembles":
            figures = ensembles(splits, unlabelled, options)
        elif options.experiment == "labellers":
            figures = labellers(splits, options)
        elif options.budgets[-1] > len(splits["train"].rows):
            raise ConfigError(f"--budgets: the pool has {len(splits['train'].rows)} rows")
        else:
            figures = active_learning(splits, options)
    except NinesError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    write_figures(options.json, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
