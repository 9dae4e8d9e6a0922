"""Labelled completions out of files, folders, the package or the hub, with every bad row reported at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from datamodules.formats import RawRow, raw_rows
from datamodules.locations import HUB, SPLITS, locate, split_files
from datamodules.schema import REQUIRED_FIELDS, LabelledCompletion, parse, parse_minimal_pair
from datamodules.splitting import DEFAULT_SHARES, Shares, split_by_prompt
from nines.errors import DataError

SHOWN_PROBLEMS = 50
Splits = dict[str, list[LabelledCompletion]]


def read(source: str, *, shares: Shares = DEFAULT_SHARES) -> Splits:
    """The rows of each split of `source`, and of its extra test sets where it has them.

    Args:
        source: A `.jsonl`, `.csv` or `.parquet` file, which is split by prompt; a folder with train, valid and test
            files; `embedded:<name>`; or `hub:<organisation>/<name>[@<revision>]`.
        shares: Shares of the prompts that train, valid and test get when one file (or hub split) holds them all.

    Raises:
        DataError: There is nothing there, or rows do not fit the schema: then it lists file, line and field of each.
    """
    problems: list[str] = []
    if source.startswith(HUB):
        splits = {name: _parse(rows, problems, name) for name, rows in hub_rows(source.removeprefix(HUB)).items()}
        whole = list(splits) == ["train"]
    else:
        location = locate(source)
        whole = location.is_file()
        files = {"train": location} if whole else split_files(location)
        splits = {name: _parse(_file_rows(path, name), problems, name) for name, path in files.items()}
    if problems:
        raise all_at_once(source, problems)
    if empty := [name for name, rows in splits.items() if not rows]:
        raise DataError(f"{source}: {' and '.join(empty)} {'has' if len(empty) == 1 else 'have'} no rows")
    return split_by_prompt(splits["train"], shares=shares) if whole else splits


def _file_rows(path: Path, split: str) -> Iterator[RawRow]:
    required = ("prompt", "yes", "no") if split == "minimal_pairs" else REQUIRED_FIELDS
    return raw_rows(path, required=required)


def _parse(rows: Iterable[RawRow], problems: list[str], split: str) -> list[LabelledCompletion]:
    """The good rows; what is wrong with the others is added to `problems`."""
    parsed: list[LabelledCompletion] = []
    for row in rows:
        if row.problem is not None:
            problems.append(f"{row.where}: {row.problem}")
            continue
        if split == "minimal_pairs":
            results: list[LabelledCompletion] | list[str] = parse_minimal_pair(row.values, row.where)
        else:
            one = parse(row.values, row.where, default_source="adversarial" if split == "adversarial" else None)
            results = [one] if isinstance(one, LabelledCompletion) else one
        for result in results:
            if isinstance(result, LabelledCompletion):
                parsed.append(result)
            else:
                problems.append(result)
    return parsed


def hub_rows(name: str) -> dict[str, Iterator[RawRow]]:
    """The rows of each split of a data set on the hub (or in a local folder that `datasets` understands)."""
    import datasets

    identity, _, revision = name.partition("@")
    try:
        found = datasets.load_dataset(identity, revision=revision or None)
    except Exception as error:  # datasets raises many classes for one mistake: not found, offline, gated, no such file
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(f"{HUB}{name}: the hub gave no data set ({reason}); check the name and the network") from error
    names = {"validation": "valid", "val": "valid", "dev": "valid"}
    splits = {names.get(str(split), str(split)): rows for split, rows in found.items()}
    if unknown := [split for split in splits if split not in SPLITS]:
        raise DataError(f"{HUB}{name}: split {unknown[0]!r} is none of {', '.join(SPLITS)} or validation")
    return {
        split: (RawRow(f"{HUB}{name} {split}, row {number}", values) for number, values in enumerate(rows, 1))
        for split, rows in splits.items()
    }


def all_at_once(source: str, problems: list[str]) -> DataError:
    """One error for all that is wrong with the rows of `source`, of which the first fifty are listed."""
    shown = problems[:SHOWN_PROBLEMS]
    if len(problems) > len(shown):
        shown = [*shown, f"… and {len(problems) - len(shown)} more"]
    count = "one problem" if len(problems) == 1 else f"{len(problems)} problems"
    return DataError(f"{source}: {count} with the rows; mend them, then `nines data check {source}`", shown)
