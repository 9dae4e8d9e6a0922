"""The watch over the steps of a worker, on a process table that only pretends."""

from __future__ import annotations

import pytest

from benchmarks import submission
from benchmarks.chaos.targets import Cluster, Process, Role
from benchmarks.submission import StepWatch


class Table(Cluster):
    """Shows what runs: `spans` is process id to its first and last second, `parents` who forked whom."""

    def __init__(self, spans: dict[int, tuple[float, float]]) -> None:
        super().__init__({})
        self.spans = spans
        self.now = 0.0

    def processes(self, role: Role) -> list[Process]:
        assert role == "srun"
        return [Process(pid, role, "7_0") for pid, (begin, end) in self.spans.items() if begin <= self.now <= end]


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> StepWatch:
    # srun 11 and 21 are forks of 10 and 20.
    table = Table({10: (2.0, 5.0), 11: (2.0, 5.5), 20: (5.5, 9.0), 21: (6.0, 9.0)})

    def sleep(seconds: float) -> None:
        table.now += 0.5

    monkeypatch.setattr(submission.time, "sleep", sleep)
    monkeypatch.setattr(submission.time, "time", lambda: table.now)
    monkeypatch.setattr(submission.time, "monotonic", lambda: table.now)
    monkeypatch.setattr(submission, "_parent", {10: 1, 11: 10, 20: 1, 21: 20}.__getitem__)
    return StepWatch(table)


def test_a_step_counts_once_although_srun_forks_and_its_fork_outlives_it(watch: StepWatch) -> None:
    for _ in range(3):
        watch.watch(4.0)
    assert watch.seen == [(2.0, 5.0), (5.5, 9.0)]
    assert watch.gaps() == [0.5]
