"""Writes the report of a sweep into its folder: `report.html` and `trials.csv`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from nines.files import write_text
from sweeps.definition import SweepDefinition
from sweeps.report.page import report_page
from sweeps.report.table_csv import trials_csv
from sweeps.trial import TrialRecord


class ReportFiles(NamedTuple):
    """Where the report lies."""

    html: Path
    csv: Path


def write_report_files(records: Sequence[TrialRecord], definition: SweepDefinition, *, folder: Path) -> ReportFiles:
    """Write both files, each as a whole, and say where they are.

    Args:
        records: All rows of the study.
        definition: Of the sweep.
        folder: Where to write; made when it is missing.

    Raises:
        StorageError: The disk refused the write.
    """
    moment = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    files = ReportFiles(folder / "report.html", folder / "trials.csv")
    write_text(files.csv, trials_csv(records, definition))
    write_text(files.html, report_page(records, definition, made=f"Made {moment} from {folder}."))
    return files
