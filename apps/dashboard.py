"""`nines dashboard`: Optuna's own pages about a sweep, on whatever storage it lies, served from this machine."""

from __future__ import annotations

import argparse
import importlib.util
import ipaddress
from collections.abc import Sequence
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from apps.command_parser import add_address
from nines.errors import UserError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

EXAMPLES = """examples:
  nines dashboard                                    the newest sweep below runs/
  nines dashboard sweep=clipping                     a sweep, by the words that started it
  nines dashboard folder=runs/sweep/quick-1a2b3c4d   the sweep in that folder
  nines dashboard storage=postgresql://me@host/db    every sweep of a storage
  nines dashboard name=quick storage=postgresql://me@host/db
  nines dashboard --port 0                           on a port that is free"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the words that name a sweep, and the address."""
    parser.epilog = EXAMPLES
    parser.add_argument(
        "words",
        nargs="*",
        metavar="key=value",
        help="what names the sweep, as for `nines sweep status`; storage= alone shows all of a storage",
    )
    add_address(parser, host="127.0.0.1", port=8080)


def run(arguments: argparse.Namespace) -> int:
    """Serve the pages until Ctrl-C."""
    if importlib.util.find_spec("optuna_dashboard") is None:
        raise UserError('the dashboard is a package of its own: pip install "nines-lab[dashboard]"')
    from optuna_dashboard import wsgi  # type: ignore[import-untyped]

    storage, page = opened(arguments.words)
    try:
        server = make_server(
            arguments.host,
            arguments.port,
            wsgi(storage),
            server_class=ThreadingServer,
            handler_class=QuietHandler,
        )
    except (OSError, OverflowError) as error:
        told = getattr(error, "strerror", None) or error
        raise UserError(
            f"cannot listen on port {arguments.port} of {arguments.host}: {told}; choose another with --port"
        ) from error
    with server:
        print(f"dashboard: http://{arguments.host}:{server.server_port}{page} (Ctrl-C stops it)", flush=True)
        if not is_loopback(arguments.host):
            print("whoever reaches this address can change and delete studies", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("stopped")
    return 0


def opened(words: Sequence[str]) -> tuple[BaseStorage, str]:
    """The storage that `words` mean, and the page to begin with: that of the sweep, or the list of all.

    Raises:
        SweepError: There is no such sweep or storage.
        StorageError: It cannot be read.
    """
    from apps.sweep import quiet_optuna
    from sweeps.storage import open_existing
    from sweeps.study import open_study

    quiet_optuna()
    if len(words) == 1 and words[0].startswith("storage="):
        return open_existing(words[0].partition("=")[2]), "/dashboard"
    if words:
        from apps.sweep_options import locate

        sweep = locate(words)
    else:
        from apps.folders import read_target, sweep_folder

        sweep = open_study(sweep_folder(read_target([])))
    return sweep.storage, f"/dashboard/studies/{sweep.study_id}"


def is_loopback(host: str) -> bool:
    """Whether only processes of this machine reach `host`; a name other than localhost counts as reachable."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class ThreadingServer(ThreadingMixIn, WSGIServer):
    """Answers several requests at once, since the page makes many; none of them holds up the end."""

    daemon_threads = True


class QuietHandler(WSGIRequestHandler):
    """Writes no line for each request."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (named so by the library)
        """Say nothing."""
