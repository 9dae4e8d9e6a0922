"""The attacker, a process of its own: strikes at random moments, mends daemons after a while, writes down each blow.

    python -m benchmarks.chaos.monkey --seed 0 --minutes 10 --log blows.jsonl --lab lab.json

The seed decides the order of the kinds and the pauses; what they hit depends on what runs then.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.chaos.blows import Hit, all_blows
from benchmarks.chaos.targets import Cluster
from benchmarks.slurm_lab import LabError, SlurmLab

MEND_SECONDS = (2.0, 10.0)
POLL_SECONDS = 1.0


class Monkey:
    """Strikes until its time is over, then mends everything.

    Args:
        cluster: Whose jobs are hit.
        lab: The daemons behind it, None where they are not ours.
        seed: Decides the order of the kinds and the pauses.
        pause: The shortest and the longest time between two blows, in seconds.
        log: A JSON Lines file: time, blow, target, what was said.
    """

    def __init__(
        self, cluster: Cluster, lab: SlurmLab | None, *, seed: int, pause: tuple[float, float], log: Path
    ) -> None:
        self.cluster = cluster
        self.lab = lab
        self.pause = pause
        self.log = log
        self.rng = random.Random(seed)
        # What to hit is drawn from another stream, so that the order of kinds does not depend on what is there to hit.
        self.choices = random.Random(seed + 1)
        self.blows = all_blows(lab)
        self.broken: dict[str, float] = {}  # daemon or node to the moment at which it is mended

    def run(self, seconds: float) -> None:
        """Strike for so many seconds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            until = time.monotonic() + self.rng.uniform(*self.pause)
            while time.monotonic() < min(until, end):
                self.tend()
                time.sleep(POLL_SECONDS)
            self.strike()
        self.broken = dict.fromkeys(self.broken, 0.0)
        self.tend()
        self.note("over")

    def strike(self) -> Hit | None:
        """One blow."""
        names = list(self.blows)
        name = self.rng.choices(names, [self.blows[name][1] for name in names])[0]
        hit = self.blows[name][0](self.cluster, self.choices)
        if hit is None:
            self.note(name, said="nothing to hit", hit=False)
            return None
        self.note(name, target=hit.target, said=hit.said, hit=True)
        if hit.breaks:
            self.broken[hit.breaks] = time.monotonic() + self.choices.uniform(*MEND_SECONDS)
        return hit

    def tend(self) -> None:
        """Mend what has been broken for long enough, and whatever a good administrator would mend beside."""
        due = [name for name, moment in self.broken.items() if moment <= time.monotonic()]
        if due and self.lab is not None:
            try:
                # The starter waits for all nodes, so those that are down on purpose are to be usable first.
                tend_cluster(self.cluster, note=self.note)
                self.lab.mend()
            except LabError as error:
                self.note("mend", target=", ".join(due), said=f"not yet: {error}")
                return
            # It starts whatever is down, so all is mended now.
            self.note("mend", target=", ".join(self.broken))
            self.broken.clear()
        if not self.broken:
            tend_cluster(self.cluster, note=self.note)

    def note(self, blow: str, **details: Any) -> None:
        """Write down what happened."""
        with self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"time": time.time(), "blow": blow, **details}) + "\n")


def tend_cluster(cluster: Cluster, *, note: Callable[..., None]) -> None:
    """What administrators do all day: bring nodes back, and release jobs that a failed launch left held."""
    for node in cluster.unusable_nodes():
        good, said = cluster.command("scontrol", "update", f"nodename={node}", "state=resume")
        if good:
            note("resume_node", target=node, said=said)
    for job in cluster.jobs() or []:
        if job.state == "PENDING" and "held" in job.reason.lower():
            _, said = cluster.command("scontrol", "release", job.id)
            note("release_job", target=f"job {job.id}", said=f"{job.reason} {said}".strip())


def read_blows(log: Path) -> list[dict[str, Any]]:
    """What was written down, in its order."""
    if not log.exists():
        return []
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def write_lab(lab: SlurmLab, path: Path) -> None:
    """Write down what another process needs to hurt and mend the cluster."""
    fields = dataclasses.asdict(lab)
    fields["settings"] = dict(lab.settings)
    path.write_text(json.dumps(fields, default=str) + "\n", encoding="utf-8")


def read_lab(path: Path) -> SlurmLab:
    """The cluster that `write_lab` wrote down."""
    fields = json.loads(path.read_text(encoding="utf-8"))
    return SlurmLab(Path(fields["starter"]), Path(fields["folder"]), fields["settings"], Path(fields["configuration"]))


def main(arguments: Sequence[str] | None = None) -> None:
    """Strike."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--pause", type=float, nargs=2, default=(4.0, 12.0), metavar=("LEAST", "MOST"))
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--lab", type=Path, help="the private cluster, as `write_lab` wrote it down")
    options = parser.parse_args(arguments)
    lab = read_lab(options.lab) if options.lab else None
    cluster = Cluster(lab.environment if lab else {})
    monkey = Monkey(cluster, lab, seed=options.seed, pause=tuple(options.pause), log=options.log)
    monkey.run(options.minutes * 60)


if __name__ == "__main__":
    main()
