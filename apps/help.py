"""The part of `nines <command> --help` that tells of the configuration: groups, choices, defaults, examples.

It reads the YAML files as text, without Hydra, so that help answers at once.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from apps.config import config_folder

WIDTH = 110
EXAMPLES = {
    "train": (
        ("nines train", "the defaults"),
        ("nines train imbalance=focal module.optimizer.lr=1e-4", "another strategy, another learning rate"),
        ("nines train launcher=slurm --dry-run", "print the batch script of a cluster; without --dry-run submit it"),
        ("nines train --cfg job", "print the composed config and stop"),
    ),
    "generate": (
        ('nines generate --prompt "The shelf tilted."', "one completion, by the embedded language model"),
        ("nines generate policy=filtered classifier=runs/train/NAME prompts=FILE", "until the classifier accepts one"),
        ("nines generate policy=best_of_n reward_model=runs/train/NAME --interactive", "keep asking for prompts"),
    ),
    "demo": (
        ("nines demo", "the embedded models; the same command goes on where it was stopped"),
        ("nines demo demo.size=tiny", "tiny random models: see in 3 minutes that everything works"),
        ("nines demo --plan", "the stages, what is done, and how long the others are expected to take"),
        ("nines demo demo.classifier=runs/sweep/NAME/best", "with a classifier of yours"),
        ("nines demo 'demo.trainings.ppo.more=[\"module.kl.value=0.1\"]'", "with another setting of one training"),
    ),
    "calibrate": (
        ("nines calibrate classifier=runs/train/NAME", "the rule of training, on float32 scores"),
        ("nines calibrate classifier=runs/train/NAME rule=conformal alpha=0.1", "an expected FNR of at most 0.1"),
        (
            "nines calibrate classifier=runs/train/NAME rule=quality_budget quality_loss=0.05",
            "as strict as quality allows",
        ),
    ),
    "evaluate": (
        ("nines evaluate classifier=runs/train/NAME", "measure a trained classifier"),
        ("nines evaluate policy=filtered classifier=runs/train/NAME judge.classifier=OTHER", "measure a policy"),
        ("nines evaluate policy=filtered --help", "the options of that"),
        ("nines evaluate --cfg job", "print the composed config and stop"),
    ),
}


@dataclass(frozen=True)
class Choice:
    """One file of a group, with the sentence of its first comment line ("" without one)."""

    name: str
    sentence: str


@dataclass(frozen=True)
class Group:
    """A group of conf/, its default choice under a root file (None when the root does not choose), and its choices."""

    name: str
    default: str | None
    choices: tuple[Choice, ...]


def groups_of(root: str, *, chosen: Mapping[str, str] = {}, folder: Path | None = None) -> list[Group]:
    """The groups that the root file names in its defaults list, each followed by those that its choice brings.

    Args:
        root: Root file of the tree.
        chosen: Choices other than the defaults, by group: a module brings the groups that it needs.
        folder: The YAML tree, the shipped one by default.
    """
    folder = folder or config_folder()
    return list(_groups(folder / f"{root}.yaml", chosen, folder))


def every_group_of(root: str, *, folder: Path | None = None) -> dict[str, Group]:
    """By name, the groups that `root` uses under any of its choices."""
    own = groups_of(root, folder=folder)
    return {group.name: group for group in [*own, *(group for _, _, group in _brought(own, folder=folder))]}


def _groups(file: Path, chosen: Mapping[str, str], folder: Path) -> Iterator[Group]:
    for name, default in _defaults(file):
        files = sorted((folder / name).glob("*.yaml"))
        yield Group(name, default, tuple(Choice(file.stem, sentence(file)) for file in files))
        yield from _groups(folder / name / f"{chosen.get(name, default)}.yaml", chosen, folder)


def selected(overrides: Iterable[str]) -> dict[str, str]:
    """Keys to values of `overrides` as they were written; choices of groups are among them."""
    return {key.lstrip("+"): value for key, _, value in (text.partition("=") for text in overrides)}


def sentence(file: Path) -> str:
    """The first comment line of a YAML file that is no `@package` line, without its `#`."""
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            text = line.strip()
            if not text.startswith("#"):
                if text:
                    return ""
                continue
            comment = text.lstrip("#").strip()
            if comment and not comment.startswith("@package"):
                return comment
    return ""


def root_values(root: str, *, folder: Path | None = None) -> dict[str, Any]:
    """The plain values that the root file itself sets."""
    return _plain(read_yaml((folder or config_folder()) / f"{root}.yaml"))


def values_of(root: str, *, chosen: Mapping[str, str] = {}, folder: Path | None = None) -> dict[str, Any]:
    """The plain values at the top of the configuration: those of the root file, and those that its choices set."""
    found: dict[str, Any] = {}
    for group in groups_of(root, chosen=chosen, folder=folder):
        for package, content in choose(group.name, chosen.get(group.name, group.default), folder=folder):
            if not package:
                found |= _plain(content)
    return {**found, **root_values(root, folder=folder)}


def _plain(content: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key != "defaults" and not isinstance(value, dict | list)}


def choose(group: str, choice: str | None, *, folder: Path | None = None) -> list[tuple[str, dict[str, Any]]]:
    """The files that a choice stands for, those it builds upon first: `(package, content)` of each.

    The package is where Hydra puts the content: the `@package` header, or the group's own name.
    """
    file = (folder or config_folder()) / group / f"{choice}.yaml"
    content = read_yaml(file)
    bases = [entry for entry in content.get("defaults", []) if isinstance(entry, str) and entry != "_self_"]
    found = [chosen for base in bases for chosen in choose(group, base, folder=folder)]
    return [*found, (_package(file, group), content)] if content else found


def _package(file: Path, group: str) -> str:
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("# @package"):
            package = line.removeprefix("# @package").strip()
            return "" if package == "_global_" else package
    return group.replace("/", ".")


def config_help(root: str, *, command: str, folder: Path | None = None) -> str:
    """The help text: groups with choices and their sentences, default values of the root, examples."""
    lines = []
    own = groups_of(root, folder=folder)
    brought = [
        replace(group, name=f"{group.name} (with {first.name}={choice.name})")
        for first, choice, group in _brought(own, folder=folder)
    ]
    for group in [*own, *brought]:
        lines += [
            f"  {group.name}",
            *(line for choice in group.choices for line in _choice_lines(choice, group.default)),
        ]
    if lines:
        lines = ["config groups (group=choice; the default is marked *):", *lines, ""]
    lines.append("values (key=value; --cfg job prints every key of the composed config):")
    values = values_of(root, folder=folder)
    lines += [f"    {key}={_as_yaml(value)}" for key, value in values.items()]
    lines += ["", "examples:"]
    width = max((len(line) for line, _ in EXAMPLES.get(command, ())), default=0)
    lines += [f"    {line:<{width}}  {meaning}" for line, meaning in EXAMPLES.get(command, ())]
    return "\n".join(lines).replace("%", "%%")


def _brought(own: Sequence[Group], *, folder: Path | None) -> Iterator[tuple[Group, Choice, Group]]:
    """The groups beside `own` that other choices than the defaults bring, each with the first that brings it."""
    folder = folder or config_folder()
    seen = {group.name for group in own}
    for first in own:
        for choice in first.choices:
            for group in _groups(folder / first.name / f"{choice.name}.yaml", {}, folder):
                if group.name not in seen:
                    seen.add(group.name)
                    yield first, choice, group


def _choice_lines(choice: Choice, default: str | None) -> list[str]:
    lead = f"   {'*' if choice.name == default else ' '} {choice.name:<22} "
    return textwrap.wrap(choice.sentence, WIDTH, initial_indent=lead, subsequent_indent=" " * len(lead)) or [
        lead.rstrip()
    ]


def _as_yaml(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(json.dumps(value))
    return "???  (must be given)" if value == "???" else str(value)


def read_yaml(file: Path) -> dict[str, Any]:
    """The mapping in a YAML file, {} where there is none."""
    content = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else None
    return content if isinstance(content, dict) else {}


def _defaults(file: Path) -> list[tuple[str, str | None]]:
    """The `(group, choice)` entries of a defaults list; `optional` and packages are dropped, and changes of others."""
    # Hundreds of files are asked, few have such a list, and reading YAML takes milliseconds.
    if not file.is_file() or "defaults:" not in file.read_text(encoding="utf-8"):
        return []
    found = []
    for entry in read_yaml(file).get("defaults", []):
        if not isinstance(entry, dict):
            continue
        for key, choice in entry.items():
            if not str(key).startswith("override "):
                found.append((str(key).removeprefix("optional ").partition("@")[0].lstrip("/"), choice))
    return found
