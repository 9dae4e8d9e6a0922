"""The `nines` command: picks a command, imports its module only, and turns errors into one line and an exit code.

Each command is a module `apps/<command>.py` with two functions, imported only when it is chosen:

    add_arguments(parser: argparse.ArgumentParser) -> None
    run(arguments: argparse.Namespace) -> int            # the exit code

A command with a root configuration (`Command.config_root`) is given `overrides`, `--config-dir`, `--cfg` and
`--resolve` here, before its own `add_arguments` is called, and `--cfg` is answered here, so it adds none of them;
its `run` reads `arguments.overrides` (list of strings), `arguments.config_dir` (a path or None) and `arguments.root`
(the root file that the overrides ask for).

Exit codes: 0 done, 1 failed, 2 the user's request is wrong, 70 a defect of ours, 130 interrupted, 141 the reader of a
pipe went away.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from apps.command_parser import CommandParser, config_dir_in
from apps.commands import COMMANDS
from nines import __version__
from nines.errors import UserError, nearest

FAILED = 1
INTERNAL_ERROR = 70
INTERRUPTED = 130
BROKEN_PIPE = 141
# The disk is full, or the quota used up.
REFUSED_WRITES = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def main(argv: Sequence[str] | None = None) -> int:
    """Run `nines` with `argv` (default: the process's own arguments) and return the exit code."""
    words = _without_passwords(sys.argv[1:] if argv is None else argv)
    if "_ARGCOMPLETE" in os.environ:
        from apps.completion import answer

        answer()
    debug = "--debug" in words
    try:
        try:
            code = _dispatch(words)
        except SystemExit:  # how argparse ends after --help
            sys.stdout.flush()
            raise
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes stdout once more at exit; that flush must not fail as well.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except OSError as error:
        if error.errno not in REFUSED_WRITES:
            return _failed(error, debug=debug)
        # As with a broken pipe; and a file that was being written is named, where the system names it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"nines: cannot write {error.filename or 'the output'}: {error.strerror}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("nines: interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        return _failed(error, debug=debug)
    return code


def _failed(error: Exception, *, debug: bool) -> int:
    """Say in one line what went wrong, and return the exit code."""
    from apps.defects import behind, describe_defect

    if debug:
        traceback.print_exc()
    if (mistake := behind(error)) is not None:
        print(f"nines: {mistake}", file=sys.stderr)
        return mistake.exit_code
    print(f"nines: {describe_defect(error, keep_traceback=not debug)}", file=sys.stderr)
    return INTERNAL_ERROR


def _without_passwords(words: Sequence[str]) -> list[str]:
    """`words` with the passwords of storage URLs moved to the environment; this process may start anew for it."""
    if not any("://" in word and ("@" in word or "?" in word) for word in words):
        return list(words)
    from sweeps.storage_url import PASSWORD_VARIABLE, move_passwords

    clean = move_passwords(words)
    if clean == list(words):
        return clean
    print(
        f"nines: a command line is seen by everybody on this machine; give the password as {PASSWORD_VARIABLE} in the "
        "environment, or in ~/.pgpass",
        file=sys.stderr,
    )
    hidden = move_passwords(sys.orig_argv)
    if hidden != sys.orig_argv:
        # What the process list shows of this process cannot be changed otherwise, and a sweep runs for days.
        sys.stderr.flush()
        os.execv(sys.executable, [sys.executable, *hidden[1:]])
    return clean


def _dispatch(words: Sequence[str]) -> int:
    chosen, position = _chosen_command(words)
    parser, command_parser = build_parsers(chosen, words)
    if chosen is None or command_parser is None:
        parser.parse_args(words)
        parser.print_help()
        return 0
    before = [word for word in words[:position] if word != "--debug"]
    if before:
        parser.parse_args([*before, chosen])
    rest = [word for word in words[position + 1 :] if word != "--debug"]
    arguments = _parse(command_parser, rest)
    arguments.debug = "--debug" in words
    root = arguments.root = COMMANDS[chosen].root_for(getattr(arguments, "overrides", ()))
    if root and arguments.cfg is not None:
        from apps.config import as_yaml, compose

        config = compose(root, arguments.overrides, config_dir=arguments.config_dir, allow_missing=True)
        print(as_yaml(config, resolve=arguments.resolve), end="")
        return 0
    code: int = importlib.import_module(f"apps.{chosen}").run(arguments)
    return code


def _parse(parser: argparse.ArgumentParser, words: Sequence[str]) -> argparse.Namespace:
    """Parse with overrides and options in any order where that is possible: not beside sub-commands."""
    try:
        return parser.parse_intermixed_args(words)
    except TypeError:
        return parser.parse_args(words)


def build_parsers(chosen: str | None = None, words: Sequence[str] = ()) -> tuple[CommandParser, CommandParser | None]:
    """The parser of `nines` and that of the command `chosen`, the only one imported and filled with its arguments.

    Args:
        chosen: A command.
        words: Of the command line. Which configuration the help tells of depends on them, and so do its choices: those
            of the user's own folder are among them.

    Raises:
        ConfigError: `--config-dir` is no folder.
    """
    parser = CommandParser(
        prog="nines",
        description="Train classifiers that almost never miss the bad case, sweep them, measure how reliable they are.",
        epilog="`nines <command> --help` shows a command's options, config groups and examples.\n"
        "Start with: nines doctor, then nines sweep sweep=quick",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"nines {__version__}")
    _add_debug(parser)
    commands = parser.add_subparsers(title="commands", metavar="<command>", dest="command")
    command_parser = None
    for name, command in COMMANDS.items():
        added = commands.add_parser(
            name,
            help=command.summary,
            description=f"{command.summary[0].upper()}{command.summary[1:]}.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name == chosen:
            command_parser = added
            _fill(added, name, words)
    return parser, command_parser


def _fill(parser: argparse.ArgumentParser, name: str, words: Sequence[str]) -> None:
    root = COMMANDS[name].root_for(words)
    _add_debug(parser)
    if (shown := root or COMMANDS[name].shown_root) is not None:
        from apps.config import config_tree
        from apps.help import config_help

        with config_tree(config_dir_in(words)) as tree:
            parser.epilog = config_help(shown, command=name, folder=tree)
    if root is not None:
        parser.add_argument(
            "overrides", nargs="*", metavar="key=value", help="group=choice, or config.key=value, as Hydra reads them"
        )
        parser.add_argument(
            "--config-dir",
            type=Path,
            metavar="DIR",
            help="a folder with config files of your own; they come before the shipped ones of the same name",
        )
        parser.add_argument("--cfg", choices=["job"], help="print the composed config and stop")
        parser.add_argument("--resolve", action="store_true", help="with --cfg: fill in the ${...} references")
    importlib.import_module(f"apps.{name}").add_arguments(parser)


def _add_debug(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def _chosen_command(words: Sequence[str]) -> tuple[str | None, int]:
    """The first word that is no option, and its position; an unknown command is an error that names the nearest."""
    for position, word in enumerate(words):
        if word.startswith("-"):
            continue
        if word not in COMMANDS:
            raise UserError(f"unknown command {word!r}; {nearest(word, COMMANDS)}")
        return word, position
    return None, 0


if __name__ == "__main__":
    sys.exit(main())
