"""`nines data check`: validate a data set and print what is in it, without training anything."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from datamodules.check import DataReport, Lengths
    from datamodules.reading import Splits

LEAKING = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `check` and its options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="check")
    check = actions.add_parser(
        "check",
        help="validate the rows of a data set and print counts, balance, duplicates, leaks, lengths and weights",
        description="Validate the rows of a data set and print what is in it. Exit code 2 if rows do not fit the "
        "schema or a prompt lies in several splits; training would refuse both.",
    )
    check.add_argument(
        "path",
        nargs="?",
        default="embedded:injury",
        help="a .jsonl, .csv or .parquet file, a folder with train, valid and test files, embedded:injury, or "
        "hub:<organisation>/<name> (default: %(default)s)",
    )
    check.add_argument(
        "--shares",
        nargs=3,
        type=float,
        default=(0.8, 0.1, 0.1),
        metavar=("TRAIN", "VALID", "TEST"),
        help="shares of the prompts when one file holds all rows (default: 0.8 0.1 0.1)",
    )
    check.add_argument("--tokenizer", metavar="SOURCE", help="also count tokens, with this model's tokenizer")
    check.add_argument("--max-tokens", type=int, default=128, help="limit of a pair in tokens (default: %(default)s)")
    check.add_argument("--show", type=int, default=5, help="how many examples of each finding (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Print the report; `DataError` lists all bad rows.

    Returns:
        0, or 2 when a prompt lies in several splits.
    """
    from rich.console import Console

    from datamodules.check import check, shortcomings
    from datamodules.locations import SPLITS, unread_files
    from datamodules.reading import read

    console = Console()
    splits = read(arguments.path, shares=arguments.shares)
    report = check(splits)
    tokens = _token_lengths(splits, arguments.tokenizer, arguments.max_tokens) if arguments.tokenizer else []
    console.print(f"{arguments.path}: {sum(len(rows) for rows in splits.values())} rows, all fit the schema.")
    console.print(_balance_table(report))
    console.print(_length_table([*report.lengths, *tokens], arguments.max_tokens))
    if report.natural:
        console.print(_natural_table(report))
    warnings = shortcomings(splits)
    warnings += [f"{path} is not read; splits are called {', '.join(SPLITS)}" for path in unread_files(arguments.path)]
    for line in warnings:
        console.print(f"Warning: {line}", markup=False, highlight=False, soft_wrap=True)
    for line in findings(report, show=arguments.show):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return LEAKING if report.leaks else 0


def findings(report: DataReport, *, show: int) -> list[str]:
    """Duplicates, contradictions, repeated ids and leaks as lines of text, `show` examples of each."""
    exact = [found for found in report.duplicates if found.exact]
    near = [found for found in report.duplicates if not found.exact]
    contradicting = [found for found in report.duplicates if len(found.labels) > 1]
    lines = [
        f"Duplicates (same prompt and completion): {len(exact)} exact, {len(near)} up to case and white space, "
        f"{len(contradicting)} of them with contradicting labels."
    ]
    for found in [*contradicting, *(found for found in report.duplicates if found not in contradicting)][:show]:
        places = ", ".join(f"{split} {row_id}" for split, row_id in found.places)
        lines.append(f"  {'/'.join(found.labels)} {found.completion[:60]!r}: {places}")
    if report.repeated_ids:
        lines.append(
            f"Ids that several rows carry: {len(report.repeated_ids)}, {', '.join(report.repeated_ids[:show])}"
        )
    lines.append(f"Prompts that lie in more than one split: {len(report.leaks)}.")
    for leak in report.leaks[:show]:
        where = ", ".join(f"{count} rows in {split}" for split, count in leak.rows.items())
        lines.append(f"  {leak.prompt[:60]!r}: {where}")
    if report.leaks:
        lines.append(
            "  Training refuses leaking prompts (datamodule.allow_leaks=true overrides): figures would flatter."
        )
    return lines


def _token_lengths(splits: Splits, source: str, max_tokens: int) -> list[Lengths]:
    from datamodules.check import length_summary
    from datamodules.tokenised import tokenise
    from nines.models.pairs import PairTokenizer

    tokenizer = PairTokenizer(source, max_tokens=max_tokens)
    pairs = {name: [(row.prompt, row.completion) for row in rows] for name, rows in splits.items()}
    return [
        length_summary(name, "pair, tokens", tokenise(texts, tokenizer).lengths, limit=max_tokens)
        for name, texts in pairs.items()
    ]


def _table(title: str, columns: Sequence[str], *, names: int) -> Table:
    """A table whose first `names` columns are text and whose others are figures."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    # Narrow enough for the 80 columns of a pipe.
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place < names else "right", no_wrap=True)
    return table


def _balance_table(report: DataReport) -> Table:
    columns = ("split", "source", "prompts", "rows", "yes", "no", "unsure", "yes %", "unsure %")
    table = _table("Class balance (yes %: among certain rows)", columns, names=2)
    shown: set[str] = set()
    for one in report.balances:
        prompts = "" if one.split in shown else str(report.prompts[one.split])
        shown.add(one.split)
        counts = [str(count) for count in (one.total, one.yes, one.no, one.unsure)]
        table.add_row(one.split, one.source, prompts, *counts, f"{one.injurious_share:.1%}", f"{one.unsure_share:.1%}")
    return table


def _length_table(lengths: Sequence[Lengths], limit: int) -> Table:
    columns = ("split", "what", "median", "95 %", "longest", f"at {limit} tokens")
    table = _table("Lengths (a pair at the limit has probably lost the start of its prompt)", columns, names=2)
    for one in lengths:
        at_limit = str(one.at_limit) if "tokens" in one.what else ""
        table.add_row(one.split, one.what, f"{one.median:.0f}", f"{one.high:.0f}", str(one.longest), at_limit)
    return table


def _natural_table(report: DataReport) -> Table:
    columns = ("split", "injurious", "effective", "largest row", "prevalence", "unsure / injurious")
    table = _table("Natural distribution (generated rows, selection weights; effective: Kish)", columns, names=1)
    for one in report.natural:
        table.add_row(
            one.split,
            str(one.positives),
            f"{one.effective_positives:.1f}",
            f"{one.largest_share:.1%}",
            f"{one.prevalence:.2%}",
            f"{one.unsure_weight:.2f}",
        )
    return table
