"""Paired measurements: every variant once in each round, ratios within a round, the median over rounds."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nines.models.precision import cpu_has_native_bf16


class Clock:
    """Wall clock and processor time between `start` and `stop`; the latter of all threads of this process."""

    def start(self) -> None:
        """Start, or start anew."""
        self._wall, self._processor = time.perf_counter(), time.process_time()

    def stop(self) -> None:
        """Keep the seconds since `start`."""
        self.wall = time.perf_counter() - self._wall
        self.processor = time.process_time() - self._processor

    def speed(self, samples: float) -> Speed:
        """Samples per second of either kind."""
        return Speed(wall=samples / self.wall, processor=samples / self.processor)


@dataclass(frozen=True)
class Speed:
    """How fast something went.

    Attributes:
        wall: Samples per second that passed.
        processor: Samples per second of processor time: what other processes on the machine take does not enter, so
            with one thread it is the figure to trust on a machine that is shared.
    """

    wall: float
    processor: float


Round = dict[str, Speed]


def add_common_arguments(parser: argparse.ArgumentParser, *, rows: int, batch: int = 32) -> None:
    """`--rounds`, `--rows`, `--batch`, `--threads` and `--json`."""
    parser.add_argument("--rounds", type=int, default=3, help="paired runs; the median ratio is printed (3)")
    parser.add_argument("--rows", type=int, default=rows, help=f"rows of each split at most ({rows})")
    parser.add_argument("--batch", type=int, default=batch, help=f"rows in a batch ({batch})")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="threads of torch (all cores)")
    parser.add_argument("--json", type=Path, help="also write all figures here")


def run_rounds(variants: Mapping[str, Callable[[], Speed]], *, rounds: int) -> list[Round]:
    """Run every variant once in each round, and print each speed as it comes.

    Every other round runs in reverse order, so that no variant always has the warm or the cold processor.
    """
    results: list[Round] = []
    width = max(map(len, variants))
    for number in range(rounds):
        speeds: Round = {}
        for name in list(variants) if number % 2 == 0 else list(variants)[::-1]:
            speeds[name] = variants[name]()
            print(
                f"round {number + 1}: {name:<{width}} {speeds[name].wall:9.1f} samples/s"
                f" {speeds[name].processor:9.1f} samples/s of processor time",
                flush=True,
            )
        results.append(speeds)
    return results


def print_ratios(rounds: list[Round], ratios: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    """Print the median ratio of each pair of variants, by wall clock and by processor time, with all rounds beside.

    Returns:
        The same figures, for a JSON file.
    """
    figures: dict[str, Any] = {}
    width = max(map(len, ratios))
    print(f"\nmedian ratios of {len(rounds)} paired runs on {machine()}")
    for label, (first, second) in ratios.items():
        each = {
            kind: [getattr(speeds[first], kind) / getattr(speeds[second], kind) for speeds in rounds]
            for kind in ("wall", "processor")
        }
        figures[label] = {kind: {"median": statistics.median(values), "all": values} for kind, values in each.items()}
        shown = "   ".join(
            f"{kind} {statistics.median(values):5.2f} ({', '.join(f'{value:.2f}' for value in values)})"
            for kind, values in each.items()
        )
        print(f"  {label:<{width}}  {shown}")
    return figures


def machine() -> str:
    """Cores and precision of this machine, and how busy it is: a load beside ours makes wall clocks wrong."""
    bf16 = "with" if cpu_has_native_bf16() else "without"
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return f"{os.cpu_count()} cores ({platform.machine()}, {bf16} native bf16), load {load:.1f}"


def write_figures(path: Path | None, figures: Mapping[str, Any]) -> None:
    """Write `figures` as JSON where a path was given."""
    if path is not None:
        path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
