"""Wall and processor time of the phases of each iteration. Standard library only, as the peer reads it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

WHOLE, SAMPLING, UPDATES = "whole iteration", "sampling", "updates"
REST = "scoring and looking back"
PHASES = (WHOLE, SAMPLING, REST, UPDATES)

Seconds = dict[str, tuple[float, float]]
"""By phase: wall clock and processor time, the latter of all threads."""


class PhaseClock:
    """Adds up what each phase of an iteration takes; what is in neither phase is the rest.

    Attributes:
        iterations: Of each iteration that is over, the seconds of every phase.
    """

    def __init__(self) -> None:
        self.iterations: list[Seconds] = []
        self._began = _now()
        self._running: dict[str, tuple[float, float]] = {}
        self._spent: Seconds = {}

    def begin(self) -> None:
        """Start the first iteration now; every other one starts where the one before it ended."""
        self._began, self._spent = _now(), {}

    def start(self, phase: str) -> None:
        """Enter a phase; nothing if it runs already."""
        self._running.setdefault(phase, _now())

    def stop(self, phase: str) -> None:
        """Leave a phase; nothing if it does not run."""
        if phase in self._running:
            spent = _since(self._running.pop(phase))
            before = self._spent.get(phase, (0.0, 0.0))
            self._spent[phase] = (before[0] + spent[0], before[1] + spent[1])

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """`start` and `stop` around a block."""
        self.start(name)
        try:
            yield
        finally:
            self.stop(name)

    def end_iteration(self) -> None:
        """Close the iteration, and begin the next."""
        whole = _since(self._began)
        sampling, updates = (self._spent.get(phase, (0.0, 0.0)) for phase in (SAMPLING, UPDATES))
        rest = (whole[0] - sampling[0] - updates[0], whole[1] - sampling[1] - updates[1])
        self.iterations.append({WHOLE: whole, SAMPLING: sampling, REST: rest, UPDATES: updates})
        self.begin()


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _since(start: tuple[float, float]) -> tuple[float, float]:
    now = _now()
    return now[0] - start[0], now[1] - start[1]
