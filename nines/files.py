"""Files that are whole or absent: written under a temporary name in the same folder, flushed, and renamed."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nines.errors import ConfigError, StorageError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success flush it to disk and rename it to `path`.

    Whatever happens, a reader sees the old file or the new one, never a part. An exception removes the temporary
    file and leaves `path` as it was.

    Raises:
        StorageError: The disk refused the write (full, read-only, quota).
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror or error}; what was there before is untouched"
        ) from error
    finally:
        # Where a file has the name of the folder nothing was written, and this must not hide the StorageError.
        with suppress(NotADirectoryError):
            temporary.unlink(missing_ok=True)


def require_writable(folder: Path, *, key: str) -> None:
    """Find out whether `folder` can be made or written to, before work is done for it; leaves nothing behind.

    Args:
        folder: A folder that need not exist yet.
        key: What the user gave it by, for the message.

    Raises:
        ConfigError: It cannot.
    """
    nearest_there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        # Permissions alone do not tell: the file system may be read-only, or no place for files, such as /proc.
        Path(tempfile.mkdtemp(prefix=".nines-", dir=nearest_there)).rmdir()
    except OSError as error:
        raise ConfigError(f"{key}: cannot write {folder}: {error.strerror} ({nearest_there})") from error


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as a whole."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, payload: Any) -> None:
    """Write `payload` to `path` as indented JSON, as a whole."""
    write_text(path, json.dumps(payload, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """The content of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))
