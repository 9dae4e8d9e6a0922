"""The parser of a command: argparse with mistakes in one line, and options that several commands have."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from nines.errors import UserError, nearest


class CommandParser(argparse.ArgumentParser):
    """A parser whose mistakes are one line that names the nearest option, like every other error of the user.

    Attributes:
        added: The arguments that were added to it, in order.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self.added: list[argparse.Action] = []
        super().__init__(*args, **options)

    def add_argument(self, *args: Any, **options: Any) -> argparse.Action:
        """Add an argument as argparse does, and remember it."""
        action = super().add_argument(*args, **options)
        self.added.append(action)
        return action

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage.

        Raises:
            UserError: Always.
        """
        _, found, unknown = message.partition("unrecognized arguments: ")
        options = [name for action in self.added for name in action.option_strings if name.startswith("--")]
        hint = f"; {nearest(unknown.split('=')[0], options)}" if found else ""
        raise UserError(f"{message}{hint} (see `{self.prog} --help`)")


def add_address(parser: argparse.ArgumentParser, *, host: str, port: int) -> None:
    """Add `--port` and `--host` of a command that serves pages, with their defaults."""
    parser.add_argument("--port", type=int, default=port, help="port to listen on (default: %(default)s)")
    parser.add_argument("--host", default=host, help="address to listen on (default: %(default)s)")


def config_dir_in(words: Sequence[str]) -> Path | None:
    """The folder after `--config-dir`, for the help of a command, which is made before its words are parsed."""
    for word, following in itertools.zip_longest(words, words[1:]):
        option, equals, value = word.partition("=")
        if option == "--config-dir" and (folder := value if equals else following):
            return Path(folder)
    return None
