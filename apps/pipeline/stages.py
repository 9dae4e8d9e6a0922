"""Stages that are done once: each leaves a record with a fingerprint of all it depends on, and is skipped by it.

What a stage makes lies in a folder of its own. A stage that was stopped in the middle is begun again in the same
folder, where it finds what it left; one whose settings, or whose forerunners, have changed since gets a new folder,
and the old one is kept beside it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nines import stop_requests
from nines.errors import DataError
from nines.files import read_json, write_json
from nines.stop_requests import Stop

RECORD = "stage.json"


@dataclasses.dataclass(frozen=True)
class Stage:
    """One step of a pipeline.

    Attributes:
        name: Of its folder.
        purpose: What it does, for people.
        settings: Plain values that decide on its result.
        needs: Names of the stages whose results it uses.
        seconds: Expected duration.
        work: Does it in the folder that it is given, or goes on with what lies there; returns figures as JSON values.
    """

    name: str
    purpose: str
    settings: Mapping[str, Any]
    needs: tuple[str, ...]
    seconds: float
    work: Callable[[Path], dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class StageRecord:
    """What a stage's folder says of it.

    Attributes:
        fingerprint: Of settings and forerunners.
        done: Whether it came to its end.
        seconds: That it took so far, over all attempts that ended in an orderly way.
        figures: What it found.
    """

    fingerprint: str
    done: bool = False
    seconds: float = 0.0
    figures: dict[str, Any] = dataclasses.field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write it as a whole."""
        write_json(folder / RECORD, dataclasses.asdict(self))

    @classmethod
    def read(cls, folder: Path) -> StageRecord | None:
        """The record in `folder`, None if there is none.

        Raises:
            DataError: It is no record.
        """
        path = folder / RECORD
        if not path.is_file():
            return None
        try:
            return cls(**read_json(path))
        except (ValueError, TypeError) as error:
            raise DataError(f"{path} is damaged ({error}); remove the folder {folder} to do this stage anew") from error


class Unfinished(Exception):
    """A stage did not come to its end; `__cause__` says why.

    Attributes:
        stage: Which one.
    """

    def __init__(self, stage: Stage) -> None:
        super().__init__(f"the stage {stage.name} is unfinished")
        self.stage = stage


class StopAsked(Exception):
    """The user asked to stop, between two pieces of work."""


def end_if_asked() -> None:
    """Do nothing, unless a signal asked this process to end; call it where work can be left.

    Raises:
        StopAsked: One did.
    """
    if stop_requests.received() in (Stop.END, Stop.LEAVE):
        raise StopAsked(stop_requests.cause())


def fingerprints(stages: Sequence[Stage]) -> dict[str, str]:
    """By name, a hash of everything that the result of each stage depends on; forerunners come first in `stages`."""
    found: dict[str, str] = {}
    for stage in stages:
        content = {
            "name": stage.name,
            "settings": stage.settings,
            "needs": {name: found[name] for name in stage.needs},
        }
        text = json.dumps(content, sort_keys=True, default=str)
        found[stage.name] = hashlib.sha256(text.encode()).hexdigest()[:16]
    return found


def is_done(stage: Stage, root: Path, *, fingerprint: str) -> bool:
    """Whether its folder holds the finished result of exactly this stage."""
    record = StageRecord.read(root / stage.name)
    return record is not None and record.done and record.fingerprint == fingerprint


def run_stages(stages: Sequence[Stage], root: Path, *, say: Callable[[str], None]) -> dict[str, StageRecord]:
    """Do every stage that is not done, in order.

    Args:
        stages: Forerunners first.
        root: Where their folders lie.
        say: Is told a line about each.

    Returns:
        The record of each stage, by name.

    Raises:
        Unfinished: A stage failed or was stopped; all before it are kept.
    """
    records: dict[str, StageRecord] = {}
    names = fingerprints(stages)
    for number, stage in enumerate(stages, start=1):
        head, folder = f"[{number}/{len(stages)}] {stage.name}", root / stage.name
        if is_done(stage, root, fingerprint=names[stage.name]):
            record = StageRecord.read(folder)
            assert record is not None
            say(f"{head}: done before, in {duration(record.seconds)}")
        else:
            say(f"{head}: {stage.purpose} (expected {duration(stage.seconds)})")
            record = _do(stage, folder, fingerprint=names[stage.name], say=say)
            say(f"{head}: done in {duration(record.seconds)}")
        records[stage.name] = record
    return records


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{int(seconds + 30) // 60} min" if seconds >= 600 else f"{int(seconds) // 60} min {int(seconds) % 60} s"


def _do(stage: Stage, folder: Path, *, fingerprint: str, say: Callable[[str], None]) -> StageRecord:
    record = StageRecord.read(folder)
    if record is not None and record.fingerprint != fingerprint:
        kept = _set_aside(folder, record.fingerprint)
        say(f"    its settings, or those of a stage before it, have changed: the former result is kept as {kept.name}")
        record = None
    begun = record or StageRecord(fingerprint)
    begun.write(folder)
    started = time.monotonic()
    try:
        end_if_asked()
        figures = stage.work(folder)
    except BaseException as error:
        seconds = begun.seconds + time.monotonic() - started
        dataclasses.replace(begun, seconds=seconds).write(folder)
        raise Unfinished(stage) from error
    done = dataclasses.replace(begun, done=True, seconds=begun.seconds + time.monotonic() - started, figures=figures)
    done.write(folder)
    return done


def _set_aside(folder: Path, fingerprint: str) -> Path:
    """Rename the folder to a name that says whose it was."""
    name, number = f"{folder.name}.was-{fingerprint[:8]}", 0
    while (kept := folder.with_name(f"{name}-{number}" if number else name)).exists():
        number += 1
    folder.rename(kept)
    return kept
