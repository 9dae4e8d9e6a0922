"""The chaos run: a sweep on SLURM while another process preempts, requeues, cancels and kills at random.

    NINES_SLURM_UP=…/slurm-up python -m benchmarks.chaos --seed 0 --trials 40 --workers 4 --minutes 10 --out chaos

Starts a private cluster of two nodes by the script that the variable names; without it, the cluster at hand is used,
and only jobs and their processes are attacked. Afterwards every trial is trained once more without SLURM, and the
verdict says whether the sweep

- completed every set of parameters exactly once, or gave it up for a stated reason after its retries,
- resumed every attempt at its newest checkpoint,
- has exactly the metrics of the undisturbed runs,
- started nothing in a job after that was cancelled.

Exit code 1 when a rule was broken. `summary.json` in the output folder holds all figures, `blows.jsonl` each blow.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.chaos.monkey import read_blows, tend_cluster, write_lab
from benchmarks.chaos.resumes import examine
from benchmarks.chaos.targets import Cluster
from benchmarks.chaos.trace import read_trace
from benchmarks.chaos.undisturbed import train_all
from benchmarks.chaos.user import REPOSITORY, User
from benchmarks.chaos.verdict import check_cancelled, check_metrics, check_resumes, check_rows
from benchmarks.slurm_lab import SlurmLab, starter_named_by_environment
from sweeps.trial import TrialRecord

EVERY_N_STEPS = 10
# What a trial takes at most on a busy machine, once nobody disturbs it any more.
SECONDS_A_TRIAL = 120.0
QUICK = {"trials": 6, "minutes": 1.0, "pause": (3.0, 8.0)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; returns 1 when a rule was broken."""
    options = _options(arguments)
    if options.out.exists() and any(options.out.iterdir()):
        print(f"error: {options.out} is not empty", file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()

    def note(line: str) -> None:
        print(f"{time.monotonic() - started:6.0f} s  {line}", flush=True)

    with _cluster() as (cluster, lab):
        user = _attack(options, cluster, lab, note)
        sweep = user.open()
        rows = sweep.trials()
    note("the sweep has ended; training its trials again without disturbance")
    summary = _judge(options, rows, note) | {"starts": user.starts, "seconds": time.monotonic() - started}
    (options.out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    _print(summary)
    return 1 if summary["violations"] else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0, help="decides the order of the blows (0)")
    parser.add_argument("--trials", type=int, default=40, help="sets of parameters (40)")
    parser.add_argument("--workers", type=int, default=4, help="workers at the same time (4)")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long the attack lasts (10)")
    parser.add_argument("--pause", type=float, nargs=2, default=(4.0, 12.0), help="seconds between two blows (4 12)")
    parser.add_argument("--retries", type=int, default=3, help="new attempts of a trial whose process died (3)")
    parser.add_argument("--out", type=Path, required=True, help="an empty folder that all nodes see")
    parser.add_argument("--quick", action="store_true", help=f"a short one: {QUICK}")
    options = parser.parse_args(arguments)
    options.out = options.out.absolute()
    if options.quick:
        for name, value in QUICK.items():
            setattr(options, name, value)
    return options


@contextlib.contextmanager
def _cluster() -> Iterator[tuple[Cluster, SlurmLab | None]]:
    starter = starter_named_by_environment()
    if starter is None:
        yield Cluster({}), None
        return
    folder = Path(tempfile.mkdtemp(prefix="nines-chaos-"))
    try:
        lab = SlurmLab.start(starter, folder)
        try:
            yield Cluster(lab.environment), lab
        finally:
            lab.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _attack(options: argparse.Namespace, cluster: Cluster, lab: SlurmLab | None, note: Any) -> User:
    """Start the sweep and the attacker, and stay until both have ended."""
    words = ["sweep=chaos", f"trials={options.trials}", f"retries={options.retries}", "threads=1"]
    # Two workers fill a node; the time limit comes several times within the attack.
    words += ["launcher.cpus_per_task=2", "launcher.time='00:04:00'", "launcher.signal_seconds=60"]
    user = User(cluster, options.out / "sweep", words, workers=options.workers, note=note)
    user.start()
    command = [sys.executable, "-m", "benchmarks.chaos.monkey", "--seed", str(options.seed)]
    command += ["--minutes", str(options.minutes), "--log", str(options.out / "blows.jsonl")]
    command += ["--pause", *map(str, options.pause)]
    if lab is not None:
        write_lab(lab, options.out / "lab.json")
        command += ["--lab", str(options.out / "lab.json")]
    with (options.out / "monkey.log").open("wb") as log:
        monkey = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}
        )

    def attack_over() -> bool:
        if monkey.poll() is None:
            return False
        if monkey.returncode != 0:
            raise SystemExit(f"the attacker failed, see {options.out / 'monkey.log'}")
        # It brings back what it broke; what comes afterwards of its last blows is the administrator's again.
        tend_cluster(cluster, note=lambda blow, **details: note(f"{blow} {details}"))
        return True

    try:
        user.look_after(until=attack_over, seconds=options.minutes * 60 + 300 + SECONDS_A_TRIAL * options.trials / 2)
    finally:
        if monkey.poll() is None:
            monkey.terminate()
            monkey.wait()
    return user


def _judge(options: argparse.Namespace, rows: Sequence[TrialRecord], note: Any) -> dict[str, Any]:
    completed = {row.group: row for row in rows if row.state == "completed" and row.group >= 0}
    folders = {row.group: row.folder for row in rows if row.group >= 0}
    traces = {group: read_trace(folder) for group, folder in sorted(folders.items())}
    resumes = {group: examine(events, every_n_steps=EVERY_N_STEPS) for group, events in traces.items()}
    blows = read_blows(options.out / "blows.jsonl")
    overrides = {group: _overrides(row.folder) for group, row in completed.items()}
    processes = min(os.cpu_count() or 1, 8)
    undisturbed = train_all(overrides, options.out / "undisturbed", processes=processes)
    violations = check_rows(rows, trials=options.trials, retries=options.retries)
    violations += check_resumes(resumes, rows)
    violations += check_metrics(rows, undisturbed)
    violations += check_cancelled(blows, itertools.chain.from_iterable(traces.values()))
    note("judged")
    return {
        "seed": options.seed,
        "trials": options.trials,
        "workers": options.workers,
        "minutes": options.minutes,
        "rows": len(rows),
        "completed": len(completed),
        "failed": sum(row.state == "failed" and not row.superseded and row.group >= 0 for row in rows),
        "reasons": dict(Counter(row.reason for row in rows if row.state == "failed")),
        "compared_metrics": sum(len(row.metrics) for row in completed.values()),
        "blows": dict(Counter(blow["blow"] for blow in blows if blow.get("hit"))),
        "tended": dict(Counter(blow["blow"] for blow in blows if "hit" not in blow)),
        "attempts": sum(found.attempts for found in resumes.values()),
        "steps_done_again": sum(found.redone for found in resumes.values()),
        "most_steps_done_again_at_once": max((found.longest for found in resumes.values()), default=0),
        "steps_lost": sum(found.lost for found in resumes.values()),
        "violations": violations,
    }


def _overrides(folder: Path) -> list[str]:
    import yaml

    content: list[str] = yaml.safe_load((folder / "overrides.yaml").read_text(encoding="utf-8"))
    return content


def _print(summary: dict[str, Any]) -> None:
    for name, value in summary.items():
        if name != "violations":
            print(f"  {name:<32} {value}")
    accounted = summary["completed"] + summary["failed"]
    print(f"\n{accounted} of {summary['trials']} sets of parameters accounted for, {summary['steps_lost']} steps lost")
    for line in summary["violations"]:
        print(f"  broken: {line}")
    print("VERDICT: " + (f"{len(summary['violations'])} rules broken" if summary["violations"] else "all rules kept"))


if __name__ == "__main__":
    sys.exit(main())
