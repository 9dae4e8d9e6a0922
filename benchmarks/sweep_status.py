"""How long `nines sweep status` takes on a sweep of many trials: journal, sqlite and, where it is given, a database.

    python -m benchmarks.sweep_status --rounds 7
    python -m benchmarks.sweep_status --storage postgresql://me@host/empty_database

Times the whole command in a fresh process on the study of `benchmarks.made_sweep`. Beside it stand the same command on
ten trials and `nines --version`, measured in the same rounds; processor time is the figure to trust on a machine that
is shared.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import optuna

from benchmarks.made_sweep import make_sweep
from benchmarks.paired import machine, write_figures

TARGET_SECONDS = 1.0
FEW = 10
START = "nines --version"


@dataclasses.dataclass(frozen=True)
class Took:
    """What a command took, in seconds by the wall clock and of processor time (the kernel's for it included)."""

    wall: float
    processor: float


def time_command(words: Sequence[str]) -> Took:
    """Run `nines <words>` in a fresh process.

    Raises:
        SystemExit: It failed.
    """
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    finished = subprocess.run([sys.executable, "-m", "apps.cli", *words], capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    if finished.returncode != 0:
        raise SystemExit(f"nines {' '.join(words)} failed:\n{finished.stderr}")
    return Took(wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)


def measure(folder: Path, *, trials: int, rounds: int, storage: str | None) -> dict[str, list[Took]]:
    """What each command took in each round; every round runs all of them, a first one is left out."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    commands: dict[str, list[str]] = {START: ["--version"]}
    urls = {"journal": None, "sqlite": f"sqlite:///{folder / 'study.db'}"}
    if storage is not None:
        urls[storage.partition(":")[0].partition("+")[0]] = storage
    for kind, url in urls.items():
        for count in (FEW, trials):
            sweep = make_sweep(folder / f"{kind}-{count}", count, storage=url)
            commands[f"{kind}, {count:,} trials"] = ["sweep", "status", f"folder={sweep.folder}"]
    took: dict[str, list[Took]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, words in commands.items():
            one = time_command(words)
            if number:
                took[name].append(one)
    return took


def print_table(took: dict[str, list[Took]]) -> None:
    """The medians of each command, its fastest and slowest, and the median ratio to `nines --version`."""
    print(f"  {'':<24} {'wall':>7}   {'fastest to slowest':<20} {'processor':>9}   {'times --version':>15}")
    for name, each in took.items():
        walls = [one.wall for one in each]
        processor = statistics.median(one.processor for one in each)
        ratio = statistics.median(one.processor / start.processor for one, start in zip(each, took[START], strict=True))
        spread = f"{min(walls):.2f} to {max(walls):.2f} s"
        print(f"  {name:<24} {statistics.median(walls):5.2f} s   {spread:<20} {processor:7.2f} s   {ratio:15.1f}")


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000, help="sets of parameters (1000)")
    parser.add_argument("--rounds", type=int, default=7, help="measured rounds, after one to warm up (7)")
    parser.add_argument("--storage", help="URL of an empty database to measure as well")
    parser.add_argument("--json", type=Path, help="also write all figures here")
    options = parser.parse_args(arguments)
    os.environ.setdefault("COLUMNS", "120")
    with tempfile.TemporaryDirectory() as folder:
        took = measure(Path(folder), trials=options.trials, rounds=options.rounds, storage=options.storage)
    print(f"`nines sweep status`, {options.rounds} rounds on {machine()}; the target is {TARGET_SECONDS:.0f} s")
    print_table(took)
    write_figures(options.json, {name: [dataclasses.asdict(one) for one in each] for name, each in took.items()})


if __name__ == "__main__":
    main()
