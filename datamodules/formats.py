"""Raw rows out of one file: JSON Lines, CSV and Parquet as mappings with the place that each came from.

CSV is read by the standard library and Parquet by pyarrow, because both then keep their row's place and neither guesses
types: a completion that reads "NA" or "null" stays that text.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nines.errors import DataError, nearest

SUFFIXES = (".jsonl", ".csv", ".parquet")


@dataclass(frozen=True)
class RawRow:
    """One row as it stands in the file.

    Attributes:
        where: File and line, or file and row where a format has no lines.
        values: Field names to values; empty when the row could not be read.
        problem: Why the row could not be read, None when it could.
    """

    where: str
    values: Mapping[str, Any]
    problem: str | None = None


def raw_rows(path: Path, *, required: tuple[str, ...]) -> Iterator[RawRow]:
    """Stream the rows of `path`, which must exist.

    Args:
        path: A `.jsonl`, `.csv` or `.parquet` file.
        required: Columns that a CSV or Parquet file must have: said once for the file instead of once for each row.

    Raises:
        DataError: The file is of another format.
    """
    readers = {".jsonl": _jsonl, ".csv": _csv, ".parquet": _parquet}
    if path.suffix not in readers:
        raise DataError(
            f"{path}: rows are read from {', '.join(SUFFIXES)} files; {nearest(path.suffix or path.name, SUFFIXES)}"
        )
    return readers[path.suffix](path, required)


def _jsonl(path: Path, required: tuple[str, ...]) -> Iterator[RawRow]:  # noqa: ARG001  # each line names its own fields
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            where = f"{path}, line {number}"
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                if not text:
                    continue
                values = json.loads(text)
            except UnicodeDecodeError as error:
                yield RawRow(where, {}, f"is not UTF-8: {error.reason} at byte {error.start + 1}")
            except json.JSONDecodeError as error:
                yield RawRow(where, {}, f"is not JSON: {error.msg} at column {error.colno}")
            else:
                if isinstance(values, dict):
                    yield RawRow(where, values)
                else:
                    yield RawRow(where, {}, f"must be an object, not a {type(values).__name__}")


def _csv(path: Path, required: tuple[str, ...]) -> Iterator[RawRow]:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.reader(lines, strict=True)
        first_line = 1  # a quoted cell may span lines: a row is named by the line where it begins
        try:
            header = next(reader, [])
            if missing := [field for field in required if field not in header]:
                yield RawRow(f"{path}, line 1", {}, f"the header has no column {', '.join(map(repr, missing))}")
                return
            first_line = reader.line_num + 1
            for cells in reader:
                where, first_line = f"{path}, line {first_line}", reader.line_num + 1
                if len(cells) == len(header):
                    named = zip(header, cells, strict=True)
                    yield RawRow(where, {name: _typed(name, cell) for name, cell in named if cell != ""})
                elif cells:
                    yield RawRow(where, {}, f"has {len(cells)} cells, but the header has {len(header)}")
        except csv.Error as error:
            yield RawRow(f"{path}, line {first_line}", {}, f"is not CSV: {error}")
        except UnicodeDecodeError as error:
            yield RawRow(f"{path}, line {first_line} or later", {}, f"is not UTF-8: {error.reason}")


def _typed(name: str, cell: str) -> Any:
    """The cell as the type that the schema states for its column; as text when it is no such thing."""
    if name == "labels":
        return cell.split("|")
    if name in ("selection_probability", "drawn", "clarity"):
        for kind in (int, float):
            try:
                return kind(cell)
            except ValueError:
                continue
    return cell


def _parquet(path: Path, required: tuple[str, ...]) -> Iterator[RawRow]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(path)
    except pyarrow.ArrowInvalid as error:
        yield RawRow(str(path), {}, f"is not Parquet: {str(error).splitlines()[0]}")
        return
    with table:
        if missing := [field for field in required if field not in table.schema_arrow.names]:
            yield RawRow(str(path), {}, f"has no column {', '.join(map(repr, missing))}")
            return
        number = 0
        for batch in table.iter_batches():
            for values in batch.to_pylist():
                number += 1
                yield RawRow(f"{path}, row {number}", values)
