"""`nines tensorboard`: starts TensorBoard on a sweep, a run, or everything below runs/."""

from __future__ import annotations

import argparse
import os
import shlex
import socket
import sys
from pathlib import Path

from apps.command_parser import add_address
from apps.folders import read_target, sweep_folder
from nines.errors import UserError

MOST_PORT = 65535

EXAMPLES = """examples:
  nines tensorboard                        every run below runs/
  nines tensorboard sweep=clipping         the trials of the newest sweep of that name
  nines tensorboard runs/train/my-run      one run
  nines tensorboard --dry-run              only print the command"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the target and the address."""
    parser.epilog = EXAMPLES
    parser.add_argument(
        "target",
        nargs="*",
        metavar="sweep=NAME | FOLDER | runs=FOLDER",
        help="a sweep by name, or any folder that holds runs (default: everything below runs/)",
    )
    add_address(parser, host="localhost", port=6006)
    parser.add_argument("--dry-run", action="store_true", help="print the command and start nothing")


def run(arguments: argparse.Namespace) -> int:
    """Replace this process by TensorBoard, so that Ctrl-C and signals reach it directly."""
    folder = log_folder(arguments.target)
    command = tensorboard_command(folder, host=arguments.host, port=arguments.port)
    if not arguments.dry_run:
        check_port(arguments.host, arguments.port)
        print(f"TensorBoard on {folder}: http://{arguments.host}:{arguments.port}/ (Ctrl-C stops it)", flush=True)
        os.execv(command[0], command)
    print(shlex.join(command))
    return 0


def log_folder(words: list[str]) -> Path:
    """The folder to show, which holds at least one event file somewhere below it.

    Raises:
        UserError: There is no such folder, or nothing in it yet.
    """
    target = read_target(words)
    folder = sweep_folder(target) if target.sweep is not None else target.folder or target.runs
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}; start a run with `nines train`, or name a folder of runs")
    if next(folder.rglob("events.out.tfevents.*"), None) is None:
        raise UserError(f"no run below {folder} has written TensorBoard events yet; it may just have begun")
    return folder.resolve()


def tensorboard_command(folder: Path, *, host: str, port: int) -> list[str]:
    """The command that starts TensorBoard on `folder`.

    A run that was resumed has several event files that are read side by side (`--reload_multifile`), since TensorBoard
    otherwise follows the newest file only.
    """
    return [
        *(sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--host", host, "--port", str(port)),
        "--reload_multifile=true",
    ]


def check_port(host: str, port: int) -> None:
    """Refuse a port that is taken or none at all, in one line instead of TensorBoard's ten.

    Raises:
        UserError: Something else listens there, it is no port, or the host has no address.
    """
    if not 1 <= port <= MOST_PORT:
        raise UserError(f"--port {port}: a port is a number from 1 to {MOST_PORT}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, UnicodeError) as error:
        raise UserError(f"--host {host}: no such address ({error})") from error
    with socket.socket(family, kind, protocol) as probe:
        if probe.connect_ex(address) == 0:
            raise UserError(f"port {port} of {host} is taken; choose another with --port")
