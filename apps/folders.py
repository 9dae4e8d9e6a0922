"""Which sweep or run a command means: `sweep=<name>`, a folder, or the newest sweep when nothing is said.

`name=<name>` and `folder=<folder>`, the words of `nines sweep`, mean the same here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nines.errors import ConfigError, SweepError, nearest

KEYS = ("sweep", "runs", "name", "folder")


@dataclass(frozen=True)
class Target:
    """What was asked for.

    Attributes:
        sweep: Name of a sweep, with or without its hash; None when not given.
        folder: A folder; None when not given.
        runs: The root of all run folders.
    """

    sweep: str | None
    folder: Path | None
    runs: Path


def read_target(words: Sequence[str]) -> Target:
    """Read `sweep=<name>` or `name=<name>`, `runs=<folder>`, and at most one folder, `folder=<folder>` or bare.

    Raises:
        ConfigError: An unknown key, more than one target, or a folder that does not exist.
    """
    sweep: str | None = None
    folder: Path | None = None
    runs = Path("runs")
    for word in words:
        key, separator, value = word.partition("=")
        if not separator or Path(word).exists():
            key, value = "folder", word
        if key not in KEYS:
            raise ConfigError(f"unknown key {key!r}; {nearest(key, KEYS)}")
        if key == "runs":
            runs = Path(value).expanduser()
        elif key == "folder":
            if folder is not None:
                raise ConfigError(f"one folder at a time: {folder} and {value} were given")
            folder = Path(value).expanduser()
            if not folder.is_dir():
                raise ConfigError(f"there is no folder {value}; name a sweep with sweep=<name>")
        elif sweep is not None and sweep != value:
            raise ConfigError(f"one sweep at a time: {sweep} and {value} were given")
        else:
            sweep = value
    if sweep is not None and folder is not None:
        raise ConfigError(f"give sweep={sweep} or the folder {folder}, not both")
    return Target(sweep, folder, runs)


def sweeps_root(runs: Path) -> Path:
    """The folder below which sweeps lie."""
    return runs / "sweep"


def newest_sweep(runs: Path) -> Path:
    """The sweep whose definition was written last.

    Raises:
        SweepError: There is none.
    """
    found = list(sweeps_root(runs).glob("*/sweep.yaml"))
    if not found:
        raise SweepError(f"there is no sweep in {sweeps_root(runs)}; start one with `nines sweep`, or name its folder")
    return max(found, key=lambda path: path.stat().st_mtime).parent


def sweep_folder(target: Target) -> Path:
    """The folder of the sweep that `target` means: the newest one when it names none.

    Raises:
        SweepError: There is no such sweep.
    """
    if target.folder is not None:
        return target.folder
    if target.sweep is not None:
        from sweeps.study import find_sweep

        return find_sweep(sweeps_root(target.runs), target.sweep)
    return newest_sweep(target.runs)
