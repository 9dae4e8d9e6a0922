"""How much of the demo's result is the seed's: its distillation repeated with other seeds and a longer budget.

    nines demo
    python -m benchmarks.ppo_seeds runs/demo/default-44136fa3

Everything before the distillation is taken from a finished demo, and so are judges, test prompts and completions of the
base policy. Each seed trains and is judged in a folder below `ppo_seeds/` there; the same command again goes on where
it was stopped, and prints the table once more when all is done.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from apps.demo import OVERRIDES, cause_of, context_of
from apps.pipeline.context import Context
from apps.pipeline.generating import Cost, generate_to, read_rows
from apps.pipeline.plan import plan_stages, plan_training, plan_trainings
from apps.pipeline.stage_work import SEEDS, comparison_prompts, distil, judged_figures, policy_makers
from apps.pipeline.stages import Stage, StageRecord, Unfinished, duration, fingerprints, is_done, run_stages
from apps.pipeline.table import percent
from apps.pipeline.trainings import PlannedRun
from benchmarks.paired import machine, write_figures
from nines import stop_requests
from nines.errors import NinesError, UserError
from nines.files import read_json
from nines.folder_lock import lock_folder
from sweeps.report.intervals import mean_interval

FOLDER = "ppo_seeds"


def finished_demo(folder: Path) -> tuple[Context, dict[str, str]]:
    """The settings of a demo, and the fingerprints of its stages.

    Raises:
        UserError: There is none, or it is not finished.
    """
    if not (folder / OVERRIDES).is_file():
        raise UserError(f"{folder} holds no demo; run `nines demo` and give the folder that it prints")
    words = [str(word) for word in OmegaConf.load(folder / OVERRIDES)]
    context = dataclasses.replace(context_of(words), root=folder.absolute())
    stages = plan_stages(context, plan_trainings(context))
    found = fingerprints(stages)
    if missing := [stage.name for stage in stages if not is_done(stage, folder, fingerprint=found[stage.name])]:
        raise UserError(f"{folder} is not finished ({', '.join(missing)}); finish it by: nines demo {' '.join(words)}")
    return context, found


def stages_of(context: Context, demo: Mapping[str, str], *, seed: int, more: Sequence[str]) -> list[Stage]:
    """Training and judging of one seed."""
    ppo = context.options.trainings.ppo
    training = dataclasses.replace(ppo, more=[*ppo.more, *more])
    run = plan_training(context, "ppo", training, seed=seed)
    before = {name: mark for name, mark in demo.items() if name not in ("ppo", "comparison")}

    def judge(folder: Path) -> dict[str, Any]:
        return _judge(context, folder, model=context.root / FOLDER / f"seed-{seed}" / "model")

    return [
        _training(run, before, seed=seed, seconds=ppo.seconds),
        Stage(
            name=f"judged-{seed}",
            purpose="complete test prompts and judge them",
            settings={"demo": dict(demo), "seed": context.seed},
            needs=(f"seed-{seed}",),
            seconds=context.options.comparison.seconds / 3,
            work=judge,
        ),
    ]


def _training(run: PlannedRun, before: Mapping[str, str], *, seed: int, seconds: float) -> Stage:
    return Stage(
        name=f"seed-{seed}",
        purpose="distil the filter into the generator by PPO",
        settings={**run.identity, "before": dict(before)},
        needs=(),
        seconds=seconds,
        work=lambda folder: distil(run, folder),
    )


def _judge(context: Context, folder: Path, *, model: Path) -> dict[str, Any]:
    base = context.root / "comparison" / "base.jsonl"
    costs = {"base": Cost(**read_json(base.with_name(f"{base.name}.cost.json")))}
    rows: dict[str, Any] = {"base": read_rows(base)}
    rows["distilled"], costs["distilled"] = generate_to(
        folder / "distilled.jsonl",
        comparison_prompts(context),
        seed=context.seed + SEEDS["distilled"],
        make=policy_makers(context, distilled=model)["distilled"],
    )
    return judged_figures(context, rows, costs, file=folder / "verdicts.jsonl")


def summary(figures: Mapping[int, Mapping[str, Any]], *, confidence: float) -> dict[str, dict[str, float]]:
    """Mean of each figure over seeds, with Student's interval: the noise of training and of sampling together."""
    found = {}
    for key, who in (("failure_rate", "judge"), ("failure_rate", "own"), ("quality", "judge"), ("quality", "own")):
        values = [each["distilled"][key][who]["estimate"] for each in figures.values()]
        over = mean_interval(values, level=confidence)
        found[f"{key}/{who}"] = {"estimate": over.mean, "lower": over.lower, "upper": over.upper}
    return found


def seeds_table(figures: Mapping[int, Mapping[str, Any]], seconds: Mapping[int, float], *, confidence: float) -> Table:
    """A row for the base policy, for each seed, and for the mean over seeds."""
    table = Table(
        box=SIMPLE, caption=f"Intervals ({100 * confidence:.0f} %) of a row over prompts, of the mean over seeds"
    )
    for head in ("seed", "failures by the judge", "by its own", "quality by the judge", "by its own", "training"):
        table.add_column(head, justify="left" if head == "seed" else "right")
    first = next(iter(figures.values()))
    table.add_row("base policy", *_cells(first["base"]), "")
    for seed, each in figures.items():
        table.add_row(str(seed), *_cells(each["distilled"]), duration(seconds[seed]))
    if len(figures) > 1:
        over = summary(figures, confidence=confidence)
        table.add_row("mean", *(percent(values) for values in over.values()), duration(sum(seconds.values())))
    return table


def _cells(policy: Mapping[str, Any]) -> list[str]:
    return [percent(policy[key][who]) for key in ("failure_rate", "quality") for who in ("judge", "own")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Train and judge every seed that is not done, and print the table; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", type=Path, help="folder of a finished demo")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds of the distillation (0 1 2)")
    parser.add_argument("--epochs", type=int, default=15, help="epochs of PPO over its prompts (15)")
    parser.add_argument("--more", nargs="*", default=[], metavar="key=value", help="further overrides of its training")
    parser.add_argument("--threads", type=int, help="CPU threads of torch (its own choice)")
    parser.add_argument("--json", type=Path, help="also write all figures here")
    options = parser.parse_args(arguments)
    try:
        with stop_requests.listening():
            return _run(options)
    except NinesError as error:
        print(f"ppo_seeds: {error}", file=sys.stderr)
        return error.exit_code


def _run(options: argparse.Namespace) -> int:
    context, demo = finished_demo(options.demo)
    context = dataclasses.replace(context, threads=options.threads)
    more = [f"trainer.max_epochs={options.epochs}", *options.more]
    stages = [stage for seed in options.seeds for stage in stages_of(context, demo, seed=seed, more=more)]
    folder = context.root / FOLDER
    with lock_folder(folder):
        try:
            records = run_stages(stages, folder, say=lambda line: print(line, file=sys.stderr, flush=True))
        except Unfinished as unfinished:
            print("what is done is kept; the same command goes on from there", file=sys.stderr)
            cause = cause_of(unfinished)
            raise cause from cause.__cause__
    _show(context, records, options)
    return 0


def _show(context: Context, records: Mapping[str, StageRecord], options: argparse.Namespace) -> None:
    figures = {seed: records[f"judged-{seed}"].figures for seed in options.seeds}
    seconds = {seed: records[f"seed-{seed}"].seconds for seed in options.seeds}
    confidence = context.options.comparison.confidence
    console = Console() if sys.stdout.isatty() else Console(width=150)
    console.print(seeds_table(figures, seconds, confidence=confidence))
    print(f"{options.epochs} epochs of PPO each; {duration(sum(seconds.values()))} of training in all, {machine()}")
    write_figures(
        options.json,
        {
            "epochs": options.epochs,
            "more": options.more,
            "seeds": {str(seed): figures[seed] for seed in options.seeds},
            "seconds": {str(seed): seconds[seed] for seed in options.seeds},
            "over_seeds": summary(figures, confidence=confidence),
        },
    )


if __name__ == "__main__":
    sys.exit(main())
