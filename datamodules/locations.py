"""Where the files of a data set are: a path, or `embedded:<name>`, to the files of its splits.

A data set is one file (split by prompt when read), or a folder of `train`, `valid` and `test` files, with `adversarial`
and `minimal_pairs` beside them if there are any; `labelled/` may hold the splits.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from datamodules.formats import SUFFIXES
from nines.errors import DataError, nearest

EMBEDDED = "embedded:"
HUB = "hub:"
LABELLED = "labelled"
SPLITS = ("train", "valid", "test")
EXTRAS = ("adversarial", "minimal_pairs")


def locate(source: str) -> Path:
    """The file or folder that `source` names.

    Raises:
        DataError: There is none.
    """
    if source.startswith(EMBEDDED):
        return _embedded(source.removeprefix(EMBEDDED))
    path = Path(source).expanduser()
    if not path.exists():
        raise DataError(
            f"there is no data at {path} (looked from {Path.cwd()}); give a file ({', '.join(SUFFIXES)}), a folder "
            f"with train, valid and test files, {HUB}<organisation>/<name>, or {EMBEDDED}injury"
        )
    return path


def split_files(folder: Path, *, inside: str = LABELLED) -> dict[str, Path]:
    """Names of splits and extra test sets to their files in `folder`.

    Args:
        folder: Where to look.
        inside: Folder in it that may hold the splits; extra test sets are looked for beside `labelled` only.

    Raises:
        DataError: There is no training file, or a split has files of several formats.
    """
    inner = folder / inside
    places = dict.fromkeys(SPLITS, inner if inner.is_dir() else folder)
    if inside == LABELLED:
        places |= dict.fromkeys(EXTRAS, folder)
    files: dict[str, Path] = {}
    for name, place in places.items():
        found = [place / f"{name}{suffix}" for suffix in SUFFIXES if (place / f"{name}{suffix}").is_file()]
        if len(found) > 1:
            raise DataError(f"{place} holds {' and '.join(path.name for path in found)}: keep one file for each split")
        if found:
            files[name] = found[0]
    if not any(name in files for name in SPLITS):
        here = sorted(path.name for path in places["train"].iterdir() if path.suffix in SUFFIXES)
        raise DataError(
            f"{places['train']} holds no train, valid or test file ({', '.join(SUFFIXES)})"
            + (f", only {', '.join(here)}; rename them, or give one file to have it split by prompt" if here else "")
        )
    return files


def unread_files(source: str) -> list[Path]:
    """Data files that lie beside the splits of a folder and are not read, `val.jsonl` for instance; [] elsewhere."""
    if source.startswith(HUB) or (folder := locate(source)).is_file():
        return []
    place = folder / "labelled" if (folder / "labelled").is_dir() else folder
    read = set(split_files(folder).values())
    return sorted(path for path in place.iterdir() if path.suffix in SUFFIXES and path.is_file() and path not in read)


def _embedded(name: str) -> Path:
    root = Path(str(resources.files("datamodules.embedded")))
    names = sorted(entry.name for entry in root.iterdir() if (entry / "labelled").is_dir())
    if name not in names:
        raise DataError(f"no embedded data set {name!r}; {nearest(name, names)}")
    return root / name
