"""Comparisons out of files, folders, the package or the hub, with every bad row reported at once."""

from __future__ import annotations

from collections.abc import Iterable

from datamodules.comparison_schema import REQUIRED_FIELDS, Comparison, parse_comparison
from datamodules.formats import RawRow, raw_rows
from datamodules.locations import HUB, locate, split_files
from datamodules.reading import all_at_once, hub_rows
from datamodules.splitting import DEFAULT_SHARES, Shares, split_by_prompt
from nines.errors import DataError

FOLDER = "comparisons"
ComparisonSplits = dict[str, list[Comparison]]


def read_comparisons(source: str, *, shares: Shares = DEFAULT_SHARES) -> ComparisonSplits:
    """The comparisons of each split of `source`.

    Args:
        source: A `.jsonl`, `.csv` or `.parquet` file, which is split by prompt; a folder with train, valid and test
            files, or with a folder `comparisons` that holds them; `embedded:<name>`; or
            `hub:<organisation>/<name>[@<revision>]`.
        shares: Shares of the prompts that train, valid and test get when one file (or hub split) holds them all.

    Raises:
        DataError: There is nothing there, or rows do not fit the schema: then it lists file, line and field of each.
    """
    problems: list[str] = []
    if source.startswith(HUB):
        splits = {name: _parse(rows, problems) for name, rows in hub_rows(source.removeprefix(HUB)).items()}
        whole = list(splits) == ["train"]
    else:
        location = locate(source)
        whole = location.is_file()
        files = {"train": location} if whole else split_files(location, inside=FOLDER)
        splits = {name: _parse(raw_rows(path, required=REQUIRED_FIELDS), problems) for name, path in files.items()}
    if problems:
        raise all_at_once(source, problems)
    if empty := [name for name, rows in splits.items() if not rows]:
        raise DataError(f"{source}: {' and '.join(empty)} {'has' if len(empty) == 1 else 'have'} no comparisons")
    return split_by_prompt(splits["train"], shares=shares) if whole else splits


def _parse(rows: Iterable[RawRow], problems: list[str]) -> list[Comparison]:
    """The good rows; what is wrong with the others is added to `problems`."""
    parsed: list[Comparison] = []
    for row in rows:
        result = [f"{row.where}: {row.problem}"] if row.problem is not None else parse_comparison(row.values, row.where)
        if isinstance(result, Comparison):
            parsed.append(result)
        else:
            problems.extend(result)
    return parsed
