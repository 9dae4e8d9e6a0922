"""What a sweep is: question, space, objectives, seeds, base overrides; and which of these make it another sweep."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from nines.errors import SweepError, nearest
from nines.run_folder import run_name
from sweeps.pruners import check_pruner
from sweeps.samplers import check_sampler
from sweeps.space import Space, parse_space

Direction: TypeAlias = Literal["maximize", "minimize"]

# Changing one of these changes what is compared, so the sweep is another one and gets another folder. The number of
# trials, the sampler, the pruner and the number of retries may change between two starts of the same sweep.
IDENTITY = ("train", "space", "conditions", "seeds", "objectives")

KNOWN_DIRECTIONS: dict[str, Direction] = {
    "partial_auc": "maximize",
    "average_precision": "maximize",
    "auroc": "maximize",
    "log_loss": "minimize",
}


@dataclasses.dataclass(frozen=True)
class Objective:
    """A metric of `metrics.json` and which way is better."""

    metric: str
    direction: Direction

    def better(self, first: float, second: float) -> bool:
        """Whether `first` is strictly better than `second`."""
        return first > second if self.direction == "maximize" else first < second


@dataclasses.dataclass(frozen=True)
class SweepDefinition:
    """A sweep as its user defined it.

    Attributes:
        name: Readable name, the first part of the folder's name.
        question: One sentence: what the sweep is to find out.
        train: Overrides of the `train` configuration that hold in every trial.
        space: The parameters and their conditions.
        objectives: At least one; the first is the one that trials report and that `best` goes by.
        trials: Sets of parameters to try.
        seeds: Repeats of each set, over the training seeds 0 to `seeds - 1`.
        retries: How often a trial whose process died is started again.
        sampler: Name and options of the sampler, see `sweeps.samplers`.
        pruner: Name and options of the pruner, see `sweeps.pruners`.
    """

    name: str
    question: str
    train: tuple[str, ...]
    space: Space
    objectives: tuple[Objective, ...]
    trials: int
    seeds: int = 1
    retries: int = 2
    sampler: Mapping[str, Any] = dataclasses.field(default_factory=lambda: {"name": "tpe", "options": {}})
    pruner: Mapping[str, Any] = dataclasses.field(default_factory=lambda: {"name": "none", "options": {}})

    def as_mapping(self) -> dict[str, Any]:
        """Plain values only, for YAML and for the study's attributes; `parse_definition` reads it back."""
        return {
            "name": self.name,
            "question": self.question,
            "train": list(self.train),
            "space": dict(self.space.parameters_source),
            "conditions": dict(self.space.conditions_source),
            "objectives": {objective.metric: objective.direction for objective in self.objectives},
            "trials": self.trials,
            "seeds": self.seeds,
            "retries": self.retries,
            "sampler": dict(self.sampler),
            "pruner": dict(self.pruner),
        }

    def identity(self) -> dict[str, Any]:
        """The part of the definition that decides whether two sweeps are the same one."""
        mapping = self.as_mapping()
        return {key: mapping[key] for key in IDENTITY}

    @property
    def folder_name(self) -> str:
        """`<name>-<hash of the identity>`, also the study's name."""
        return run_name(self.name, self.identity())

    def differences(self, other: SweepDefinition) -> list[str]:
        """One line for each identity key in which `other` differs, this definition's value first."""
        mine, theirs = self.identity(), other.identity()
        lines: list[str] = []
        for key in IDENTITY:
            if mine[key] == theirs[key]:
                continue
            if isinstance(mine[key], dict) and isinstance(theirs[key], dict):
                names = [name for name in {**mine[key], **theirs[key]} if mine[key].get(name) != theirs[key].get(name)]
                lines += [f"{key}.{name}: {mine[key].get(name)} -> {theirs[key].get(name)}" for name in names]
            else:
                lines.append(f"{key}: {mine[key]} -> {theirs[key]}")
        return lines


def parse_definition(source: Mapping[str, Any]) -> SweepDefinition:
    """Read a definition from plain YAML values, as `conf/sweep.yaml` composes them.

    Raises:
        SweepError: A key is missing or unknown, a number out of range, or values contradict each other.
    """
    known = {field.name for field in dataclasses.fields(SweepDefinition)} | {"conditions"}
    for key in source:
        if key not in known:
            raise SweepError(f"unknown key {key!r} of a sweep; {nearest(str(key), known)}")
    for key in ("name", "space", "objectives", "trials"):
        if not source.get(key):
            raise SweepError(f"the sweep has no {key}; set `{key}:` in its file or on the command line")
    counts = {key: source.get(key, default) for key, default in (("trials", 1), ("seeds", 1), ("retries", 2))}
    for key, count in counts.items():
        least = 0 if key == "retries" else 1
        if not isinstance(count, int) or isinstance(count, bool) or count < least:
            raise SweepError(f"{key}: expected a whole number of at least {least}, found {count!r}")
    objectives = [_objective(item) for item in _objective_texts(source["objectives"])]
    definition = SweepDefinition(
        name=str(source["name"]),
        question=str(source.get("question") or ""),
        train=tuple(str(override) for override in source.get("train") or ()),
        space=parse_space(dict(source["space"]), dict(source.get("conditions") or {})),
        objectives=tuple(objectives),
        **counts,
        sampler=choice_with_options(source.get("sampler") or "tpe", where="sampler"),
        pruner=choice_with_options(source.get("pruner") or "none", where="pruner"),
    )
    check_sampler(definition.sampler, space=definition.space)
    check_pruner(definition.pruner, objectives=len(objectives))
    return definition


def _objective_texts(source: Any) -> list[str]:
    if isinstance(source, str):
        return [source]
    if isinstance(source, Mapping):
        return [f"{direction} {metric}" for metric, direction in source.items()]
    return [str(item) for item in source]


def _objective(text: str) -> Objective:
    """Read `minimize test/fnr`, or a metric alone when it is plain which way is better."""
    words = text.split()
    if len(words) == 1:
        direction = KNOWN_DIRECTIONS.get(words[0].rpartition("/")[2])
        if direction is None:
            raise SweepError(f"objectives: say which way is better: `maximize {text}` or `minimize {text}`")
        return Objective(words[0], direction)
    if len(words) != 2 or words[0] not in ("maximize", "minimize"):
        raise SweepError(f"objectives: {text!r} does not read `maximize <metric>` or `minimize <metric>`")
    return Objective(words[1], "maximize" if words[0] == "maximize" else "minimize")


def choice_with_options(source: Any, *, where: str) -> dict[str, Any]:
    """`tpe` or `{name: tpe, options: {...}}` as the latter."""
    if isinstance(source, str):
        return {"name": source, "options": {}}
    if not isinstance(source, Mapping) or "name" not in source or set(source) - {"name", "options"}:
        raise SweepError(f"{where}: expected a name, or a mapping with `name` and `options`, found {source!r}")
    return {"name": str(source["name"]), "options": dict(source.get("options") or {})}
