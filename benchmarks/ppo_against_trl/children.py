"""Runs either side in a process of its own, with nothing in common but the setting file and the line that it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

from benchmarks.paired import Speed
from benchmarks.ppo_against_trl.environment import make
from benchmarks.ppo_against_trl.phases import PHASES, Seconds
from benchmarks.ppo_against_trl.setting import Setting
from nines.errors import NinesError

Side = Literal["ours", "peer"]
ROOT = Path(__file__).parents[2]


class SideFailed(NinesError):
    """One side ended with an error; its last lines say why."""


def run_side(side: Side, setting: Setting) -> dict[str, Any]:
    """Run one side to its end; what it printed.

    Raises:
        SideFailed: It ended with an error.
        EnvironmentFailed: The peer's environment cannot be made.
    """
    python = sys.executable if side == "ours" else str(make())
    threads = str(setting.threads)
    variables = {
        **os.environ,
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "TOKENIZERS_PARALLELISM": "false",
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "setting.json"
        setting.write(path)
        # Started from the root of the checkout, both find this package and nothing else is imported by the peer.
        command = [python, "-m", f"benchmarks.ppo_against_trl.{side}", str(path)]
        done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-8:])
        raise SideFailed(f"{side} ended with exit code {done.returncode}:\n{last}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def speeds(iterations: list[Seconds], *, batch: int, warm_up: int) -> dict[str, Speed]:
    """Completions a second in each phase, over all iterations but the first `warm_up`."""
    timed = iterations[warm_up:]
    found = {}
    for phase in PHASES:
        wall, processor = (sum(one[phase][kind] for one in timed) for kind in (0, 1))
        found[phase] = Speed(wall=batch * len(timed) / wall, processor=batch * len(timed) / processor)
    return found
