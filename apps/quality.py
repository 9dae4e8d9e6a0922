"""`nines quality`: is what the filtered policy writes as good? Plan the labels, use the answers, and what they cost."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from nines.errors import UserError

EXAMPLES = """examples:
  nines generate prompts=prompts.jsonl seed=1 --output base.jsonl
  nines generate policy=filtered classifier=RUN prompts=prompts.jsonl seed=2 --output filtered.jsonl
  nines quality plan base.jsonl filtered.jsonl --classifier RUN --output quality
      (people add "preference": "a", "b" or "tie" to the lines of quality/to_judge.jsonl, from the top)
  nines quality estimate quality answers.jsonl
  nines quality power --half-width 0.05 0.02 --rejected 0.1 0.3"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-commands and their options."""
    parser.epilog = EXAMPLES
    actions = parser.add_subparsers(dest="action", required=True, metavar="plan|judge|estimate|power")
    plan = actions.add_parser(
        "plan", help="pair two files of `nines generate`, and write the pairs that need a judgement, sides at random"
    )
    plan.add_argument("base", type=Path, help="completions of the unfiltered policy")
    plan.add_argument("filtered", type=Path, help="completions of the filtered (or distilled) policy, same prompts")
    plan.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the plan")
    plan.add_argument(
        "--classifier", type=Path, metavar="RUN", help="the filter's classifier; scores the base completions"
    )
    plan.add_argument("--device", default="cpu", help="torch device of the classifier (cpu)")
    plan.add_argument("--labels", type=int, metavar="N", help="ask for a random N of the pairs that need a label")
    plan.add_argument("--all-pairs", action="store_true", help="ask for all pairs, also those that are both accepted")
    plan.add_argument(
        "--refused",
        choices=["left-out", "lost"],
        default="left-out",
        help="prompts for which nothing was delivered: leave them out, or count them as worse (left-out)",
    )
    plan.add_argument("--seed", type=int, default=0, help="of order and sides (0)")

    judge = actions.add_parser("judge", help="let a model, stored answers or a function judge the pairs of a plan")
    judge.add_argument("plan", type=Path, metavar="DIR", help="folder of the plan")
    who = judge.add_mutually_exclusive_group(required=True)
    who.add_argument("--reward-model", type=Path, metavar="RUN", help="a trained reward model")
    who.add_argument("--stored", metavar="FILE", help="comparisons that were judged before: prompt, a, b, preference")
    who.add_argument("--function", metavar="MODULE:NAME", help="from prompts, firsts, seconds to shares in [0, 1]")
    judge.add_argument("--output", type=Path, required=True, metavar="FILE", help="where the answers go")
    judge.add_argument("--device", default="cpu", help="torch device of the reward model (cpu)")

    estimate = actions.add_parser("estimate", help="quality with its interval from the answers, and labels saved")
    estimate.add_argument("plan", type=Path, metavar="DIR", help="folder of the plan")
    estimate.add_argument("answers", type=Path, nargs="+", help="JSON Lines: id, preference (a, b, tie), judge")
    estimate.add_argument(
        "--predictions", type=Path, metavar="FILE", help="a model's judgements of all pairs, to be corrected by answers"
    )
    estimate.add_argument("--sequential", action="store_true", help="an interval that holds however often you look")
    estimate.add_argument("--half-width", type=float, metavar="D", help="with --sequential: stop at ± D")
    estimate.add_argument("--level", type=float, metavar="Q", help="stop when above or below Q")
    estimate.add_argument("--confidence", type=float, default=0.95, help="of the interval (0.95)")
    estimate.add_argument("--json", type=Path, metavar="FILE", help="also write all figures here")

    power = actions.add_parser("power", help="print how many labels an interval of a wanted width takes")
    power.add_argument("--half-width", type=float, nargs="+", default=[0.1, 0.05, 0.02, 0.01], metavar="D")
    power.add_argument(
        "--rejected", type=float, nargs="+", default=[1.0, 0.5, 0.3, 0.1], metavar="R", help="share of base rejected"
    )
    power.add_argument("--ties", type=float, default=0.07, help="share of ties among judged pairs (0.07)")
    power.add_argument("--pairs-per-prompt", type=int, default=1, metavar="M", help="(1)")
    power.add_argument("--correlation", type=float, default=0.0, metavar="C", help="of pairs of one prompt (0)")
    power.add_argument("--confidence", type=float, default=0.95, help="of the interval (0.95)")


def run(arguments: argparse.Namespace) -> int:
    """Run the chosen sub-command."""
    if hasattr(arguments, "confidence") and not 0 < arguments.confidence < 1:
        raise UserError(f"--confidence {arguments.confidence} must lie between 0 and 1")
    if arguments.action == "power":
        return _power(arguments)
    if arguments.action == "estimate" and not arguments.sequential and (arguments.half_width or arguments.level):
        raise UserError("--half-width and --level are stopping rules; they need --sequential")
    code: int = importlib.import_module(f"apps.quality_{arguments.action}").run(arguments)
    return code


def _power(arguments: argparse.Namespace) -> int:
    from nines.statistics.quality_power import power_table

    try:
        table = power_table(
            arguments.half_width,
            arguments.rejected,
            ties=arguments.ties,
            pairs_per_prompt=arguments.pairs_per_prompt,
            correlation=arguments.correlation,
            confidence=arguments.confidence,
        )
    except ValueError as error:
        raise UserError(f"nines quality power: {error}") from error
    print(table)
    return 0
