"""`nines label`: chooses which completions to label with known probabilities, and makes an estimate of the answers."""

from __future__ import annotations

import argparse
from pathlib import Path

from nines.errors import UserError

EXAMPLES = """examples:
  nines label plan pool.jsonl --classifier runs/train/classifier-5e6f7a8b --budget 300 --output round1.jsonl
  nines label plan pool.jsonl --budget 200 --target-rate 1e-4 --after round1.jsonl --output round2.jsonl
  nines label ingest round1.jsonl round2.jsonl --output labelled.jsonl
  nines label ingest round1.jsonl --answers from_anna.jsonl from_ben.jsonl --output labelled.jsonl

docs/labelling.md goes through a whole example."""

METHODS = ("uniform", "proportional", "neyman", "oasis")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `plan` and `ingest` with their options."""
    parser.epilog = EXAMPLES
    actions = parser.add_subparsers(dest="action", required=True, metavar="plan | ingest")
    _add_plan(
        actions.add_parser(
            "plan",
            help="draw the completions to label and write them with their selection probabilities",
            description="Draw completions to label, more of them where failures are likely. Each row of the output has "
            "a field `label` for the answer: yes, no or unsure.",
        )
    )
    _add_ingest(
        actions.add_parser(
            "ingest",
            help="check the answers, merge the rounds, print the failure rate with its interval",
            description="Check the answers to one or more rounds, print the failure rate with its interval, and write "
            "labelled rows that datamodule=file reads.",
        )
    )


def _add_plan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "pool", type=Path, help="a .jsonl file with prompt and completion, and score if no --classifier"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the plan to write, a .jsonl file")
    parser.add_argument("--budget", type=int, required=True, metavar="N", help="how many labels this round")
    parser.add_argument("--classifier", type=Path, metavar="RUN", help="a run folder whose model scores the pool")
    parser.add_argument("--device", default="cpu", metavar="DEVICE", help="for --classifier (cpu)")
    parser.add_argument(
        "--method",
        choices=METHODS,
        default="proportional",
        help="uniform: as in nature. proportional: by the root of the score. neyman: the same by strata. "
        "oasis: by strata that learn from earlier rounds (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the draw (0)")
    parser.add_argument(
        "--after", type=Path, nargs="+", default=[], metavar="PLAN", help="earlier rounds, answered; not drawn again"
    )
    parser.add_argument(
        "--floor", type=float, default=0.3, metavar="F", help="part of the labels that ignores scores (0.3)"
    )
    parser.add_argument("--strata", type=int, default=10, metavar="N", help="score strata at most (10)")
    parser.add_argument(
        "--target-rate", type=float, metavar="R", help="failure rate that is expected: scores are shifted to it"
    )
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="T",
        help="plan for the filtered policy that accepts below T, not for the base policy",
    )
    parser.add_argument("--max-tries", type=int, metavar="N", help="with --threshold: completions it draws at most")
    parser.add_argument(
        "--batch", type=int, default=1, metavar="N", help="with --threshold: 1 first accepted, else safest"
    )
    parser.add_argument("--fallback", choices=("refuse", "safest"), default="refuse", help="with --threshold (refuse)")


def _add_ingest(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("plans", type=Path, nargs="+", help="the plans, in any order of rounds")
    parser.add_argument(
        "--answers",
        type=Path,
        nargs="+",
        metavar="FILE",
        help=".jsonl files with id and label; by default the plans themselves hold the labels",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="labelled rows to write, for datamodule=file")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the estimates here")
    parser.add_argument("--confidence", type=float, default=0.95, metavar="C", help="of the intervals (0.95)")


def run(arguments: argparse.Namespace) -> int:
    """Do what the action says."""
    if arguments.action == "plan":
        from apps.label_plan import plan

        _check_plan(arguments)
        return plan(arguments)
    from apps.label_ingest import ingest

    if not 0 < arguments.confidence < 1:
        raise UserError(f"--confidence {arguments.confidence}: a number between 0 and 1")
    return ingest(arguments)


def _check_plan(arguments: argparse.Namespace) -> None:
    if arguments.output.suffix != ".jsonl":
        raise UserError(f"--output {arguments.output}: the name of a plan ends in .jsonl")
    if arguments.output.exists():
        raise UserError(f"--output {arguments.output} exists; a plan may hold answers, so none is overwritten")
    if (arguments.threshold is None) != (arguments.max_tries is None):
        raise UserError("--threshold and --max-tries belong together: they describe the filtered policy")
    if arguments.threshold is None and (arguments.batch != 1 or arguments.fallback != "refuse"):
        raise UserError("--batch and --fallback belong to a filtered policy: give --threshold and --max-tries, too")
    if not 0 < arguments.floor <= 1:
        raise UserError(f"--floor {arguments.floor}: above 0, so that every failure can be found, and at most 1")
    if arguments.strata < 1:
        raise UserError(f"--strata {arguments.strata}: at least 1")
    if arguments.target_rate is not None and not 0 < arguments.target_rate < 1:
        raise UserError(f"--target-rate {arguments.target_rate}: a number between 0 and 1")
