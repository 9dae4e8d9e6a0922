"""From the words of `nines sweep` to a sweep: which are its own, which hold in every trial, which are searched."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from apps.config import compose, config_folder, config_tree
from apps.help import every_group_of, groups_of, read_yaml, values_of
from apps.launcher import read_launcher
from apps.sweep import ACTIONS
from nines.errors import SweepError, UserError, nearest
from slurm.options import SlurmOptions
from sweeps.definition import SweepDefinition, parse_definition
from sweeps.narrowing import narrow, split_overrides
from sweeps.storage_url import absolute_url
from sweeps.study import Sweep, find_in_storage, find_sweep, open_study, recorded_definition

MOST_WORKERS = 8
DEFINITION_KEYS = (
    "name",
    "question",
    "train",
    "space",
    "conditions",
    "objectives",
    "trials",
    "seeds",
    "retries",
    "sampler",
    "pruner",
)
# Words that say where a sweep lies and how it runs, not which one it is.
ONLY_WHERE_AND_HOW = frozenset({"folder", "workers", "threads", "storage", "runs", "launcher", "prepare"})
# A folder in which Hydra's grammar, quotes and references included, has nothing to say.
PLAIN_FOLDER = re.compile(r"folder=[\w./~@+-]+")
# A trial is judged on validation data only, and its log is read by people.
TRIAL_DEFAULTS = ("test=false", "trainer.enable_progress_bar=false")
# Every trial gets these from the sweep.
SET_BY_SWEEP = {"resume": "", "objective": "objectives=", "objective_mode": "objectives="}


@dataclasses.dataclass(frozen=True)
class SweepRequest:
    """What the command line asks for.

    Attributes:
        definition: The sweep.
        folder: Its folder, whether it exists or not.
        storage: Storage URL, None for the default or the one recorded in the folder.
        workers: Trials at the same time.
        threads: CPU threads of each trial.
        named_only: No override changed what is compared, so that the name alone says which sweep is meant.
        explicit_folder: The user gave the folder.
        launcher: How a cluster is asked for the workers, None for processes of this machine.
        prepare: Whether this machine makes what all trials share.
    """

    definition: SweepDefinition
    folder: Path
    storage: str | None
    workers: int
    threads: int
    named_only: bool
    explicit_folder: bool
    launcher: SlurmOptions | None = None
    prepare: bool = True


def read_request(overrides: Sequence[str]) -> SweepRequest:
    """Compose the sweep that `overrides` ask for.

    Overrides of keys of `conf/sweep.yaml` configure the sweep. Of the others, those with one value hold in every
    trial and take that key out of the space; those with a set of values are searched.

    Raises:
        SweepError: The sweep is not well defined.
        ConfigError: A key of the sweep is unknown or its value has the wrong type.
    """
    own, for_trials = _split(overrides)
    content = _compose_own(own)
    swept, fixed = split_overrides(for_trials)
    for text in fixed:
        key = override_key(text)
        if key in SET_BY_SWEEP:
            hint = f"; write {SET_BY_SWEEP[key]}" if SET_BY_SWEEP[key] else ""
            raise SweepError(f"{text}: the sweep sets {key} for each trial{hint}")
    by_key = {override_key(text): text for text in fixed}
    space, everywhere = narrow(
        content["space"] or {},
        content["conditions"] or {},
        swept=swept,
        fixed={key: text.partition("=")[2] for key, text in by_key.items()},
    )
    train = merge_overrides([*TRIAL_DEFAULTS, *(content["train"] or [])], [by_key[key] for key in everywhere])
    source = {key: content[key] for key in DEFINITION_KEYS}
    source |= {"train": train, "space": space.parameters_source, "conditions": space.conditions_source}
    definition = parse_definition(source)
    if definition.seeds > 1 and any(override_key(text) == "seed" for text in train):
        raise SweepError("seeds: the repeats run over the training seeds 0 to seeds - 1; drop the override of seed")
    if content["folder"] and {override_key(text).partition(".")[0] for text in overrides} <= ONLY_WHERE_AND_HOW:
        definition = _stored(Path(content["folder"]).expanduser()) or definition
    default = Path(content["runs"]) / "sweep" / definition.folder_name
    launcher = read_launcher(content["launcher"])
    workers = _workers(content["workers"], definition, launcher)
    threads = max(cores() // workers, 1) if launcher is None else launcher.cpus_per_task
    return SweepRequest(
        definition=definition,
        folder=Path(content["folder"] or default).expanduser().absolute(),
        storage=absolute_url(content["storage"]) if content["storage"] else None,
        workers=workers,
        threads=_positive("threads", content["threads"]) or threads,
        named_only=not for_trials,
        explicit_folder=content["folder"] is not None,
        launcher=launcher,
        prepare=_switch("prepare", content["prepare"]),
    )


def locate(overrides: Sequence[str]) -> Sweep:
    """Open the existing sweep that `overrides` mean: by its folder, by all that defines it, or the newest of its name.

    With `storage=` a sweep whose folder this machine does not see is found in the storage.

    Raises:
        SweepError: There is none.
    """
    if len(overrides) == 1 and PLAIN_FOLDER.fullmatch(overrides[0]):
        # Nothing to compose, which takes as long as reading a study of hundreds of trials.
        return open_study(Path(overrides[0].partition("=")[2]).expanduser())
    request = read_request(_by_name(overrides))
    by_folder = request.explicit_folder or (not request.named_only and (request.folder / "sweep.yaml").exists())
    try:
        sweep = open_study(request.folder if by_folder else find_sweep(request.folder.parent, request.definition.name))
    except SweepError:
        if request.storage is None:
            raise
    else:
        if request.storage in (None, sweep.storage_url):
            return sweep
    return find_in_storage(request.storage, request.folder.name if by_folder else request.definition.name)


def _by_name(overrides: Sequence[str]) -> list[str]:
    """`sweep=<name>` that no file defines is the name that somebody gave a sweep, as `nines report` understands it."""
    with config_tree() as tree:
        return [
            f"name={value}" if key == "sweep" and value and not (tree / "sweep" / f"{value}.yaml").is_file() else text
            for text in overrides
            for key, _, value in [text.partition("=")]
        ]


def override_key(text: str) -> str:
    """The key of an override, without `+`, `~` and the value."""
    return text.partition("=")[0].lstrip("+~").partition("@")[0]


def merge_overrides(base: Sequence[str], changes: Sequence[str]) -> list[str]:
    """`base` with `changes` after it; of several overrides of one key only the last stays."""
    merged = {override_key(text): text for text in base}
    for text in changes:
        merged.pop(override_key(text), None)
        merged[override_key(text)] = text
    return list(merged.values())


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _split(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    content = read_yaml(config_folder() / "sweep.yaml")
    own_keys = {key for key in content if key != "defaults"} | {group.name for group in groups_of("sweep")}
    train_keys = values_of("train").keys() | every_group_of("train").keys()
    own: list[str] = []
    for_trials: list[str] = []
    for text in overrides:
        if "=" not in text and not text.startswith("~"):
            raise UserError(f"{text!r} is neither an action nor an override key=value; {nearest(text, ACTIONS)}")
        key = override_key(text)
        if "." not in key and "/" not in key and key not in own_keys | train_keys and not text.startswith(("+", "~")):
            raise SweepError(f"{text}: unknown key {key!r}; {nearest(key, own_keys | train_keys)}")
        (own if key.partition(".")[0] in own_keys else for_trials).append(text)
    return own, for_trials


def _stored(folder: Path) -> SweepDefinition | None:
    """The definition of the sweep in `folder`, which its folder alone is enough to name."""
    return recorded_definition(folder) if (folder / "sweep.yaml").exists() else None


def _compose_own(own: Sequence[str]) -> dict[str, Any]:
    from omegaconf import OmegaConf

    container = OmegaConf.to_container(compose("sweep", own), resolve=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def _workers(asked: Any, definition: SweepDefinition, launcher: SlurmOptions | None) -> int:
    given = _positive("workers", asked)
    # More at once would leave a sampler little to learn from.
    most = min(cores(), MOST_WORKERS) if launcher is None else MOST_WORKERS
    return given or min(most, definition.trials * definition.seeds)


def _switch(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise SweepError(f"{key}: expected true or false, found {value!r}")
    return value


def _positive(key: str, value: Any) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise SweepError(f"{key}: expected a whole number of at least 1, found {value!r}")
    return value
