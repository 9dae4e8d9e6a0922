"""The attacker of the chaos run: whom it hits and how, what it writes down, and that it mends what it broke."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path
from typing import Any

import pytest

from benchmarks.chaos.blows import Hit, all_blows
from benchmarks.chaos.monkey import Monkey, read_blows, read_lab, write_lab
from benchmarks.chaos.targets import Cluster, Job, role_of
from benchmarks.slurm_lab import SlurmLab


@pytest.mark.parametrize(
    ("command", "role"),
    [
        (["/usr/bin/srun", "--overlap", "python", "-m", "sweeps.rank", "--job", "x"], "srun"),
        (["/venv/bin/python", "-m", "sweeps.rank", "--job", "x"], "rank"),
        (["/venv/bin/python", "-m", "sweeps.worker", "--folder", "x"], "batch"),
        (["/venv/bin/python", "-m", "pytest", "sweeps.worker"], None),
        ([], None),
    ],
)
def test_processes_are_told_apart_by_their_command_lines(command: list[str], role: str | None) -> None:
    assert role_of(command) == role


class QuietCluster(Cluster):
    """Two running jobs; commands are written down."""

    def __init__(self) -> None:
        super().__init__({})
        self.commands: list[tuple[str, ...]] = []
        self.held = False

    def command(self, *words: str) -> tuple[bool, str]:
        self.commands.append(words)
        return True, ""

    def jobs(self) -> list[Job]:
        held = [Job("9", "PENDING", "", "launch failed requeued held")] if self.held else []
        return [Job("7", "RUNNING", "node1", "None"), Job("8", "RUNNING", "node2", "None"), *held]

    def unusable_nodes(self) -> list[str]:
        return ["node2"] if self.held else []

    def processes(self, role: str) -> list[Any]:
        return []


def test_the_seed_decides_the_order_of_the_blows(tmp_path: Path) -> None:
    orders = []
    for index, seed in enumerate((3, 3, 4)):
        monkey = Monkey(QuietCluster(), None, seed=seed, pause=(0, 0), log=tmp_path / f"{index}.jsonl")
        for _ in range(30):
            monkey.strike()
        orders.append([blow["blow"] for blow in read_blows(tmp_path / f"{index}.jsonl")])
    assert orders[0] == orders[1] != orders[2]
    assert set(orders[0]) == set(all_blows(None))


def test_a_cluster_that_others_use_is_never_hurt() -> None:
    assert not {"preempt", "node_failure", "kill_slurmd", "lose_node", "restart_controller"} & set(all_blows(None))


def test_each_blow_on_a_job_is_the_command_that_it_stands_for() -> None:
    cluster = QuietCluster()
    for name in ("requeue", "cancel", "warn_batch", "warn_steps"):
        hit = all_blows(None)[name][0](cluster, random.Random(0))
        assert hit is not None
        assert hit.breaks == ""
    assert [words[:-1] for words in cluster.commands] == [
        ("scontrol", "requeue"),
        ("scancel",),
        ("scancel", "--signal=USR1", "--batch"),
        ("scancel", "--signal=USR1"),
    ]
    assert {words[-1] for words in cluster.commands} <= {"7", "8"}


def test_a_blow_that_finds_nothing_is_written_down_as_such(tmp_path: Path) -> None:
    monkey = Monkey(QuietCluster(), None, seed=0, pause=(0, 0), log=tmp_path / "log.jsonl")
    monkey.blows = {"kill_rank": all_blows(None)["kill_rank"]}
    assert monkey.strike() is None
    assert read_blows(tmp_path / "log.jsonl")[0]["hit"] is False


def test_what_a_blow_broke_is_mended_when_the_time_is_over(tmp_path: Path) -> None:
    mended: list[str] = []

    class Lab(SlurmLab):
        def mend(self) -> None:
            mended.append("mended")

    lab = Lab(Path("up"), tmp_path, {}, Path("conf"))
    monkey = Monkey(QuietCluster(), lab, seed=0, pause=(0, 0), log=tmp_path / "log.jsonl")
    monkey.blows = {"kill_slurmd": (lambda cluster, rng: Hit("node1 123", breaks="node1"), 1)}
    monkey.run(0.05)
    assert mended == ["mended"]
    assert [blow["blow"] for blow in read_blows(tmp_path / "log.jsonl")][-2:] == ["mend", "over"]


def test_held_jobs_are_released_and_lost_nodes_brought_back(tmp_path: Path) -> None:
    cluster = QuietCluster()
    cluster.held = True
    Monkey(cluster, None, seed=0, pause=(0, 0), log=tmp_path / "log.jsonl").tend()
    assert cluster.commands == [
        ("scontrol", "update", "nodename=node2", "state=resume"),
        ("scontrol", "release", "9"),
    ]


def test_another_process_gets_the_same_lab(tmp_path: Path) -> None:
    lab = SlurmLab(Path("/x/slurm-up"), tmp_path, {"SLURM_LAB": "x"}, tmp_path / "slurm.conf")
    write_lab(lab, tmp_path / "lab.json")
    assert dataclasses.asdict(read_lab(tmp_path / "lab.json")) == dataclasses.asdict(lab)
    assert json.loads((tmp_path / "lab.json").read_text(encoding="utf-8"))["settings"] == {"SLURM_LAB": "x"}
