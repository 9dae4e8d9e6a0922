"""A sweep on disk: opening, reopening and finding it, and reading its trials.

The folder holds `sweep.yaml` (definition and storage), `trials/<number>/` (run folders), `workers/*.log`, and by
default the study itself. How trials are taken and finished is the work of `sweeps.life_cycle`.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import optuna
import yaml
from filelock import FileLock

from nines.errors import SweepError, nearest
from nines.files import write_text
from sweeps.definition import Objective, SweepDefinition, parse_definition
from sweeps.records import best_record, read_records
from sweeps.storage import all_rows, open_existing, open_storage
from sweeps.storage_url import absolute_url, default_url
from sweeps.trial import TrialRecord

DEFINITION_ATTRIBUTE = "definition"
FOLDER_ATTRIBUTE = "folder"


@dataclasses.dataclass(frozen=True)
class Sweep:
    """An open sweep.

    Attributes:
        folder: Absolute folder of the sweep. One found by `find_in_storage` may lie on another machine, see `visible`.
        definition: What it asks and over which space.
        storage_url: Absolute URL of the storage.
        storage: The open storage.
        study_id: Identifier of the study in the storage.
    """

    folder: Path
    definition: SweepDefinition
    storage_url: str
    storage: optuna.storages.BaseStorage
    study_id: int

    @property
    def name(self) -> str:
        """Name of the study, which is the name of the folder."""
        return self.folder.name

    @property
    def visible(self) -> bool:
        """Whether this machine sees the folder: without it there are run folders, logs and locks for others only."""
        return (self.folder / "sweep.yaml").exists()

    @property
    def objective(self) -> Objective:
        """The first objective."""
        return self.definition.objectives[0]

    @property
    def lock(self) -> Path:
        """Held around every decision about which trial to run next, so that workers never overshoot."""
        return self.folder / "sweep.lock"

    def study(
        self, *, sampler: optuna.samplers.BaseSampler | None = None, pruner: optuna.pruners.BasePruner | None = None
    ) -> optuna.Study:
        """Optuna's view of the study, for asking, telling and importances."""
        return optuna.load_study(study_name=self.name, storage=self.storage, sampler=sampler, pruner=pruner)

    def trials(self) -> list[TrialRecord]:
        """Every row of the study in order of its number, read once."""
        rows = all_rows(self.storage, self.study_id)
        return read_records(rows, folder=self.folder, space=self.definition.space)

    def best(self) -> TrialRecord | None:
        """The best completed trial, see `sweeps.records.best_record`; None before the first."""
        return best_record(self.trials(), objective=self.objective)


def create_study(folder: Path, definition: SweepDefinition, *, storage: str | None = None) -> Sweep:
    """Open the sweep in `folder`, making it when it is new.

    Args:
        folder: Folder of the sweep; its name becomes the study's name.
        definition: The sweep as asked for now. Trials, retries, sampler and pruner replace the stored ones.
        storage: Storage URL; a journal file in the folder when not given.

    Raises:
        SweepError: The folder or study holds another sweep; the message lists what differs.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "sweep.lock"):
        recorded = _recorded_storage(folder)
        url = absolute_url(storage) if storage else recorded or default_url(folder)
        if recorded is not None and url != recorded:
            raise SweepError(f"{folder} keeps its study in {recorded}, not in {url}; drop storage= or change name=")
        opened = open_storage(url)
        directions = [optuna.study.StudyDirection[objective.direction.upper()] for objective in definition.objectives]
        study_id = _study_id(opened, folder.name)
        if study_id is None:
            study_id = opened.create_new_study(directions, folder.name)
        attributes = opened.get_study_user_attrs(study_id)
        stored = attributes.get(DEFINITION_ATTRIBUTE)
        if stored is not None:
            _refuse_other(parse_definition(stored), definition, folder)
        mapping = definition.as_mapping()
        # Not known to whoever finds the study in a storage without seeing the folder.
        wanted = {FOLDER_ATTRIBUTE: str(folder), DEFINITION_ATTRIBUTE: mapping}
        for key, value in wanted.items():
            if attributes.get(key) != value:
                opened.set_study_user_attr(study_id, key, value)
        write_text(folder / "sweep.yaml", yaml.safe_dump({**mapping, "storage": url}, sort_keys=False, width=120))
    return Sweep(folder, definition, url, opened, study_id)


def open_study(folder: Path, *, wait_seconds: float = 0.0) -> Sweep:
    """Open the existing sweep in `folder`.

    Args:
        folder: Folder of the sweep.
        wait_seconds: How long to wait for a database server that does not answer.

    Raises:
        SweepError: There is none.
        StorageError: Its storage cannot be read.
    """
    folder = folder.resolve()
    url = _recorded_storage(folder)
    if url is None:
        raise SweepError(f"{folder} holds no sweep (no sweep.yaml in it)")
    storage = open_storage(url, wait_seconds=wait_seconds)
    study_id = _study_id(storage, folder.name)
    if study_id is None:
        raise SweepError(f"the storage of {folder} has no study named {folder.name!r}; was the folder renamed?")
    stored = storage.get_study_user_attrs(study_id).get(DEFINITION_ATTRIBUTE)
    if stored is None:
        raise SweepError(f"{folder}: the sweep was never fully set up; start it again with `nines sweep`")
    return Sweep(folder, parse_definition(stored), url, storage, study_id)


def recorded_definition(folder: Path) -> SweepDefinition:
    """The definition of the sweep in `folder` as its `sweep.yaml` has it, without opening the storage.

    Raises:
        SweepError: There is none.
    """
    content = _recorded(folder)
    if content is None:
        raise SweepError(f"{folder} holds no sweep (no sweep.yaml in it)")
    return parse_definition({key: value for key, value in content.items() if key != "storage"})


def find_sweep(sweeps: Path, name: str) -> Path:
    """The newest folder below `sweeps` that holds a sweep called `name`, with or without the hash.

    Raises:
        SweepError: There is none; the message lists those that exist.
    """
    folders = [path.parent for path in sweeps.glob("*/sweep.yaml")]
    matching = [folder for folder in folders if folder.name == name or folder.name.rpartition("-")[0] == name]
    if not matching:
        raise SweepError(f"no sweep {name!r} in {sweeps}; {nearest(name, [folder.name for folder in folders])}")
    return max(matching, key=lambda folder: (folder / "sweep.yaml").stat().st_mtime)


def find_in_storage(url: str, name: str) -> Sweep:
    """The newest sweep called `name`, with or without the hash, in the storage `url` alone.

    Its folder is where the sweep was started, which this machine need not see.

    Raises:
        SweepError: There is none; the message lists those that exist.
        StorageError: The storage cannot be read.
    """
    url = absolute_url(url)
    storage = open_existing(url)
    sweeps = {
        study.study_name: study for study in storage.get_all_studies() if DEFINITION_ATTRIBUTE in study.user_attrs
    }
    matching = [found for found in sweeps if found == name or found.rpartition("-")[0] == name]
    if not matching:
        raise SweepError(f"no sweep {name!r} in {url}; {nearest(name, sweeps)}")
    # Storages number their studies in the order in which they were made.
    study_id, newest = max((storage.get_study_id_from_name(found), found) for found in matching)
    attributes = sweeps[newest].user_attrs
    folder = Path(attributes.get(FOLDER_ATTRIBUTE) or newest)
    if folder.name != newest:
        raise SweepError(f"the sweep {newest} in {url} belongs to the folder {folder}, of another name")
    return Sweep(folder, parse_definition(attributes[DEFINITION_ATTRIBUTE]), url, storage, study_id)


def _recorded(folder: Path) -> dict[str, Any] | None:
    path = folder / "sweep.yaml"
    if not path.exists():
        return None
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def _recorded_storage(folder: Path) -> str | None:
    # A person may have written a password into the file; it goes no further.
    return None if (content := _recorded(folder)) is None else absolute_url(str(content["storage"]))


def _study_id(storage: optuna.storages.BaseStorage, name: str) -> int | None:
    try:
        return int(storage.get_study_id_from_name(name))
    except KeyError:
        return None


def _refuse_other(stored: SweepDefinition, asked: SweepDefinition, folder: Path) -> None:
    differences = stored.differences(asked)
    if differences:
        listed = "; ".join(differences)
        raise SweepError(f"{folder} holds another sweep: {listed}. Give this one another name= or remove the folder")
