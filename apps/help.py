"""The part of `nines <command> --help` that tells of the configuration: groups, choices, defaults, examples.

It reads the YAML files as text, without Hydra, so that help answers at once.
"""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass
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
    "evaluate": (
        ("nines evaluate classifier=runs/train/NAME", "measure a trained classifier"),
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


def groups_of(root: str, *, folder: Path | None = None) -> list[Group]:
    """The groups that the root file names in its defaults list, in that order."""
    folder = folder or config_folder()
    found = []
    for name, default in _defaults(folder / f"{root}.yaml"):
        files = sorted((folder / name).glob("*.yaml"))
        choices = tuple(Choice(file.stem, sentence(file)) for file in files)
        found.append(Group(name, default, choices))
    return found


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
    content = read_yaml((folder or config_folder()) / f"{root}.yaml")
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
    for group in groups_of(root, folder=folder):
        lines += [
            f"  {group.name}",
            *(line for choice in group.choices for line in _choice_lines(choice, group.default)),
        ]
    if lines:
        lines = ["config groups (group=choice; the default is marked *):", *lines, ""]
    lines.append("values (key=value; --cfg job prints every key of the composed config):")
    values = root_values(root, folder=folder)
    lines += [f"    {key}={_as_yaml(value)}" for key, value in values.items()]
    lines += ["", "examples:"]
    width = max((len(line) for line, _ in EXAMPLES.get(command, ())), default=0)
    lines += [f"    {line:<{width}}  {meaning}" for line, meaning in EXAMPLES.get(command, ())]
    return "\n".join(lines).replace("%", "%%")


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
    """The `(group, choice)` entries of a root file's defaults list; `override`, `optional` and packages are dropped."""
    found = []
    for entry in read_yaml(file).get("defaults", []):
        if not isinstance(entry, dict):
            continue
        for key, choice in entry.items():
            name = str(key).removeprefix("optional ").removeprefix("override ").partition("@")[0].lstrip("/")
            found.append((name, choice))
    return found
