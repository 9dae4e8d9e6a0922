"""Tab completion: commands and options by argcomplete; groups, choices, config keys and values by the YAML files.

Hydra and torch are not imported: an answer must come before the finger leaves the key.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from apps.help import choose, groups_of, root_values, selected, values_of

SHELLS = {
    "bash": ('eval "$(nines completion bash)"', "~/.bashrc"),
    "fish": ("nines completion fish | source", "~/.config/fish/config.fish"),
    "zsh": ('eval "$(nines completion zsh)"', "~/.zshrc"),
}

# `nines sweep` takes its own keys, and those of train for its trials.
ROOTS = {"sweep": ("sweep", "train")}
FIRST = {"sweep": ("run", "status", "report", "best", "cancel", "retry")}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which shell."""
    parser.add_argument("shell", choices=list(SHELLS), help="the shell that you use")
    lines = [
        f"  {shell:<5} {line:<40} # for every new shell: add it to {file}" for shell, (line, file) in SHELLS.items()
    ]
    parser.epilog = "\n".join(["switch completion on in the shell that you are in:", *lines])


def run(arguments: argparse.Namespace) -> int:
    """Print the code that switches completion on, for the shell to evaluate."""
    from argcomplete.shell_integration import shellcode

    print(shellcode(["nines"], shell=arguments.shell))
    return 0


def answer() -> None:
    """Answer the shell's question in the environment (see argcomplete) and end the process."""
    import argcomplete

    from apps.cli import build_parsers
    from apps.commands import COMMANDS

    point = int(os.environ.get("COMP_POINT", "0"))
    *before, current = re.split(r" +", os.environ.get("COMP_LINE", "")[:point])
    chosen = next((word for word in before[1:] if word in COMMANDS), None)
    parser, command_parser = build_parsers(chosen)
    actions = command_parser.added if command_parser else []
    overrides = [action for action in actions if action.dest in {"overrides", "words"}]
    if chosen is not None and overrides:
        roots = ROOTS.get(chosen) or (str(COMMANDS[chosen].root_for(before)),)
        overrides[0].completer = OverrideCompleter(*roots, first=FIRST.get(chosen, ()))  # type: ignore[attr-defined]
        # argparse gives up on overrides after an option between them; options say nothing about the next override.
        if not current.startswith("-") and not before[-1].startswith("--c"):
            kept = [
                word
                for word in before[2:]
                if word in FIRST.get(chosen, ()) or re.fullmatch(r"[^-'\"][^'\"]*=[^'\"]*", word)
            ]
            line = " ".join(["nines", chosen, *kept, current])
            os.environ.update(COMP_LINE=line, COMP_POINT=str(len(line)))
    argcomplete.autocomplete(parser, always_complete_options=False)


class OverrideCompleter:
    """Completes one override of the root configurations `roots`, as argcomplete calls it.

    Args:
        roots: Root files of the tree.
        first: Words that may stand in place of the first override.
        folder: The YAML tree, the shipped one by default.
    """

    def __init__(self, *roots: str, first: Sequence[str] = (), folder: Path | None = None) -> None:
        self.roots = roots
        self.first = first
        self.folder = folder

    def __call__(self, prefix: str, parsed_args: argparse.Namespace, action: argparse.Action, **_: Any) -> list[str]:
        """The words that `prefix` can become; `parsed_args` holds what was typed before it."""
        typed = getattr(parsed_args, action.dest, None) or []
        found = {word for root in self.roots for word in complete(prefix, root, typed=typed, folder=self.folder)}
        return sorted(found | {word for word in self.first if not typed and word.startswith(prefix)})


def complete(prefix: str, root: str, *, typed: Sequence[str] = (), folder: Path | None = None) -> list[str]:
    """The overrides that start with `prefix`.

    Before the first dot these are the groups and the root's own keys, so that the first list is short; after a dot, the
    keys below it; after `=`, the choices of a group, or the value that a key has by default.

    Args:
        prefix: What was typed of this word.
        root: Root file of the tree.
        typed: The overrides before this word, whose choices decide which keys there are.
        folder: The YAML tree, the shipped one by default.
    """
    chosen = selected(typed)
    groups = {group.name: group for group in groups_of(root, chosen=chosen, folder=folder)}
    key, equals, _ = prefix.partition("=")
    if equals and key in groups:
        found = [f"{key}={choice.name}" for choice in groups[key].choices]
    elif equals:
        value = dict(keys_with_values(root, typed=typed, folder=folder)).get(key)
        shown = ["true", "false"] if isinstance(value, bool) else [_spelled(value)]
        found = [f"{key}={choice}" for choice in shown]
    elif "." in prefix:
        found = [f"{name}=" for name, _ in keys_with_values(root, typed=typed, folder=folder)]
    else:
        tops = {name.partition(".")[0] for name, _ in keys_with_values(root, typed=typed, folder=folder) if "." in name}
        own = [name for name in values_of(root, chosen=chosen, folder=folder) if name not in groups]
        found = [*(f"{name}=" for name in [*groups, *own]), *(f"{top}." for top in tops)]
    return sorted({word for word in found if word.startswith(prefix)})


def keys_with_values(root: str, *, typed: Sequence[str] = (), folder: Path | None = None) -> Iterator[tuple[str, Any]]:
    """Every dotted key that holds a value under the choices of `root` and of the overrides `typed`."""
    yield from root_values(root, folder=folder).items()
    chosen = selected(typed)
    for group in groups_of(root, chosen=chosen, folder=folder):
        choice = chosen.get(group.name, group.default)
        for package, content in choose(group.name, choice, folder=folder):
            yield from _leaves(content, package)


def _leaves(content: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        dotted = f"{prefix}.{key}" if prefix else str(key)
        if key in {"defaults", "_target_"}:
            continue
        if isinstance(value, dict):
            yield from _leaves(value, dotted)
        else:
            yield dotted, value


def _spelled(value: Any) -> str:
    if value is None:
        return "null"
    return shlex.quote(str(value)) if isinstance(value, str) and not value.startswith("$") else str(value)
