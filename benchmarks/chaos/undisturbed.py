"""Trains the parameters of a sweep's trials again, one after the other, without SLURM and without disturbance.

    python -m benchmarks.chaos.undisturbed --runs runs.json

Each run gets a fresh process, forked from this one, which has torch loaded: what one leaves behind in its process
cannot reach the next.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from nines.files import read_json
from nines.run_folder import RunFolder

REPOSITORY = Path(__file__).parents[2]


class UndisturbedError(RuntimeError):
    """A run that nobody disturbed did not end well."""


def train_all(overrides: Mapping[int, Sequence[str]], folder: Path, *, processes: int) -> dict[int, dict[str, float]]:
    """Train each set of overrides below `folder`, so many at a time; the metrics of each, under its key.

    Raises:
        UndisturbedError: One of them failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    keys = sorted(overrides)
    children: list[subprocess.Popen[bytes]] = []
    for index in range(min(processes, len(keys))):
        share = {str(folder / str(key)): list(overrides[key]) for key in keys[index::processes]}
        path = folder / f"share-{index}.json"
        path.write_text(json.dumps(share), encoding="utf-8")
        with (folder / f"share-{index}.log").open("wb") as log:
            children.append(
                subprocess.Popen(
                    [sys.executable, "-m", "benchmarks.chaos.undisturbed", "--runs", str(path)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=_environment(),
                )
            )
    codes = [child.wait() for child in children]
    if any(codes):
        raise UndisturbedError(f"undisturbed runs failed with exit codes {codes}; see {folder}/share-*.log")
    return {key: metrics_of(RunFolder(folder / str(key))) for key in keys}


def metrics_of(folder: RunFolder) -> dict[str, float]:
    """The final metrics of a run that are numbers, which is what a sweep keeps of them."""
    metrics: dict[str, float] = read_json(folder.metrics)["metrics"]
    return {name: float(value) for name, value in metrics.items() if math.isfinite(value)}


def _environment() -> dict[str, str]:
    """Without a trace of SLURM, with one thread, and with this repository's modules."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return {**kept, **threads, "PYTHONPATH": str(REPOSITORY), "TOKENIZERS_PARALLELISM": "false"}


def _train_in_fork(folder: Path, overrides: Sequence[str]) -> int:
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        from apps.config import compose
        from apps.training import train

        train(compose("train", list(overrides)), folder=RunFolder(folder), overrides=list(overrides))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train one share; returns 1 when a run failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, help="JSON: run folder to the list of its overrides")
    options = parser.parse_args(arguments)
    runs: dict[str, list[str]] = json.loads(options.runs.read_text(encoding="utf-8"))
    import torch

    import apps.training  # noqa: F401 - loaded once, before the forks

    torch.set_num_threads(1)
    failed = [folder for folder, overrides in runs.items() if _train_in_fork(Path(folder), overrides) != 0]
    for folder in failed:
        print(f"failed: {folder}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
