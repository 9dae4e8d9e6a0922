"""`nines report`: one HTML page and one CSV file that compare the trials of a sweep."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from apps.folders import KEYS, read_target, sweep_folder

if TYPE_CHECKING:
    from sweeps.report.write import ReportFiles

EXAMPLES = """examples:
  nines report                             the newest sweep below runs/
  nines report sweep=clipping              the newest sweep of that name
  nines report runs/sweep/quick-1a2b3c4d   the sweep in that folder"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the target and the output folder."""
    parser.epilog = EXAMPLES
    parser.add_argument(
        "target",
        nargs="*",
        metavar="sweep=NAME | FOLDER | runs=FOLDER",
        help="the sweep: by name, or its folder (default: the newest one); runs= is where sweeps are looked for; the "
        "words that started it, or storage=, mean it as for `nines sweep report`",
    )
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="where to write (default: the sweep's folder)")


def run(arguments: argparse.Namespace) -> int:
    """Write the report and print where it is, and its conclusions."""
    if means_more(arguments.target):
        from apps.sweep_options import locate
        from sweeps.report.write import write_report_files

        sweep = locate(arguments.target)
        # As for `nines sweep report`: the folder of a sweep that only the storage knows is not to be seen here.
        output = arguments.output or (sweep.folder if sweep.visible else Path.cwd() / sweep.name)
        files = write_report_files(sweep.trials(), sweep.definition, folder=output)
    else:
        files = write_report(sweep_folder(read_target(arguments.target)), output=arguments.output)
    print(f"{files.html}\n{files.csv}")
    return 0


def means_more(words: Sequence[str]) -> bool:
    """Whether `words` name a sweep by more than its name or folder, in a way that only `nines sweep` understands."""
    keys = [word.partition("=")[0] for word in words if "=" in word and not Path(word).exists()]
    return len(keys) == len(words) and (not set(keys) <= set(KEYS) or {"sweep", "name"} <= set(keys))


def write_report(folder: Path, *, output: Path | None = None) -> ReportFiles:
    """Write the report of the sweep in `folder`; the trials that still run are shown as such.

    Args:
        folder: Folder of the sweep.
        output: Where to write `report.html` and `trials.csv`; the sweep's folder by default.

    Returns:
        Both paths, as `(html, csv)`.

    Raises:
        SweepError: There is no sweep in `folder`.
        StorageError: The disk refused the write.
    """
    from sweeps.report.write import write_report_files
    from sweeps.study import open_study

    sweep = open_study(folder)
    return write_report_files(sweep.trials(), sweep.definition, folder=output or sweep.folder)
