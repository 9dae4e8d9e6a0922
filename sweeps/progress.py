"""How a sweep goes, while it goes: a live table in a terminal, plain lines elsewhere (a log, a pipe, a CI)."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from datetime import datetime

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from nines.run_folder import RunFolder, RunStatus
from sweeps.definition import SweepDefinition
from sweeps.records import best_record, results, slots_asked_for, trial_name
from sweeps.report.results import format_params, format_seconds
from sweeps.report.summary import STATE_STYLES
from sweeps.trial import TrialRecord

FINISHED_ROWS = 8
PLAIN_SECONDS = 15.0


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """The sweep at one moment.

    Attributes:
        rows: Rows that stand for a result or the lack of one, by number.
        status: Number of a running row to what its run says of itself.
        finished: Slots (set × seed) that are completed, pruned or failed.
        total: Slots that were asked for.
        best: The best completed row.
        seconds_left: Estimate for the whole sweep, None before the first completed trial.
    """

    rows: list[TrialRecord]
    status: dict[int, RunStatus]
    finished: int
    total: int
    best: TrialRecord | None
    seconds_left: float | None

    @classmethod
    def of(cls, records: Sequence[TrialRecord], definition: SweepDefinition, *, workers: int) -> Snapshot:
        """Look at the rows, and at the status files of those that run."""
        rows = results(records)
        status: dict[int, RunStatus] = {}
        for row in rows:
            if row.state == "running" and (found := RunStatus.read(RunFolder(row.folder))) is not None:
                status[row.number] = found
        total = slots_asked_for(rows, definition)
        finished = sum(row.finished for row in rows)
        best = best_record(rows, objective=definition.objectives[0])
        return cls(rows, status, finished, total, best, _seconds_left(rows, status, total=total, workers=workers))

    def headline(self, definition: SweepDefinition) -> str:
        """One line: how far, the best so far, how long still."""
        parts = [f"{self.finished} of {self.total} trials"]
        failed = sum(row.state == "failed" for row in self.rows)
        if failed:
            parts.append(f"{failed} failed")
        if self.best is not None:
            name = definition.objectives[0].metric
            parts.append(f"best {name} {self.best.value:.4f} (trial {trial_name(self.best)})")
        if self.finished < self.total:
            parts.append(
                f"about {format_seconds(self.seconds_left)} left" if self.seconds_left else "time left unknown"
            )
        return " · ".join(parts)


class TerminalProgress:
    """A table that redraws itself in place. Use as a context manager.

    Args:
        definition: The sweep.
        console: Where to draw.
    """

    def __init__(self, definition: SweepDefinition, console: Console) -> None:
        self.definition = definition
        self.live = Live(console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> TerminalProgress:
        self.live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.live.stop()

    def update(self, trials: list[TrialRecord], *, workers: int) -> None:
        """Redraw."""
        snapshot = Snapshot.of(trials, self.definition, workers=workers)
        self.live.update(Group(progress_table(snapshot), Text(snapshot.headline(self.definition), style="bold")))

    def note(self, line: str) -> None:
        """Print `line` above the table."""
        self.live.console.print(Text(line, style="yellow"))


class PlainProgress:
    """A line for each trial that starts or ends, and one about those that run every few seconds.

    Args:
        definition: The sweep.
        console: Where to print.
    """

    def __init__(self, definition: SweepDefinition, console: Console) -> None:
        self.definition = definition
        self.console = console
        self._seen: dict[int, str] | None = None
        self._printed = time.monotonic()

    def __enter__(self) -> PlainProgress:
        return self

    def __exit__(self, *exception: object) -> None:
        return None

    def update(self, trials: list[TrialRecord], *, workers: int) -> None:
        """Print what changed since the last call; the first call only takes notice of what was finished before."""
        snapshot = Snapshot.of(trials, self.definition, workers=workers)
        states = {row.number: row.state for row in snapshot.rows}
        seen = self._seen if self._seen is not None else {r.number: r.state for r in snapshot.rows if r.finished}
        changed = [row for row in snapshot.rows if seen.get(row.number) != row.state and row.state != "waiting"]
        self._seen = dict(states)
        for row in changed:
            self.note(trial_line(row, snapshot.status.get(row.number)))
        if any(row.finished for row in changed):
            self.note(snapshot.headline(self.definition))
        if time.monotonic() - self._printed >= PLAIN_SECONDS:
            for row in snapshot.rows:
                if row.state == "running":
                    self.note(trial_line(row, snapshot.status.get(row.number)))
            self._printed = time.monotonic()

    def note(self, line: str) -> None:
        """Print `line`."""
        self.console.print(Text(line), soft_wrap=True)
        self._printed = time.monotonic()


def trial_line(row: TrialRecord, status: RunStatus | None) -> str:
    """One row as a line of text."""
    parts = [f"trial {trial_name(row)} {row.state}", *_figures(row, status)]
    if row.state in ("failed", "pruned", "interrupted") and row.reason:
        parts.append(row.reason)
    parts.append(format_params(row.params))
    return "  ".join(part for part in parts if part)


def progress_table(snapshot: Snapshot) -> Table:
    """Every trial that is under way, and those that ended last."""
    under_way = [row for row in snapshot.rows if not row.finished]
    ended = sorted((row for row in snapshot.rows if row.finished), key=lambda row: row.completed or datetime.min)
    table = Table(box=None, pad_edge=False)
    for title in ("trial", "state", "step", "objective", "best", "left", "parameters"):
        table.add_column(title, justify="right" if title in ("trial", "step", "objective", "best", "left") else "left")
    for row in [*ended[-FINISHED_ROWS:], *under_way]:
        status = snapshot.status.get(row.number)
        step, objective, best, left = _cells(row, status)
        is_best = snapshot.best is not None and row.number == snapshot.best.number
        state = Text(row.state, style=STATE_STYLES[row.state])
        note = row.reason if row.state == "failed" else format_params(row.params)
        table.add_row(trial_name(row), state, step, objective, best, left, Text(note), style="bold" if is_best else "")
    return table


def _figures(row: TrialRecord, status: RunStatus | None) -> list[str]:
    step, objective, _, left = _cells(row, status)
    labelled = (("step", step), ("objective", objective), ("left" if not row.finished else "took", left))
    return [f"{label} {text}" for label, text in labelled if text]


def _cells(row: TrialRecord, status: RunStatus | None) -> tuple[str, str, str, str]:
    """Step, objective, best objective, and time left (of a finished row: time taken)."""
    values = row.intermediate_values
    newest = row.value if row.value is not None else (values[max(values)] if values else None)
    if status is None:
        return "", _number(newest), "", format_seconds(row.seconds) if row.finished else ""
    total = f"/{status.total_steps}" if status.total_steps else ""
    left = format_seconds(status.seconds_left) if status.seconds_left is not None else ""
    objective = status.objective if status.objective is not None else newest
    return f"{status.step}{total}", _number(objective), _number(status.best_objective), left


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _seconds_left(
    rows: Sequence[TrialRecord], status: dict[int, RunStatus], *, total: int, workers: int
) -> float | None:
    """Work left, in trial-seconds, over the number of workers; a pruned trial counts with the time that it took."""
    taken = [row.seconds for row in rows if row.state in ("completed", "pruned") and row.seconds is not None]
    if not taken or workers == 0:
        return None
    mean = sum(taken) / len(taken)
    to_come = total - sum(row.finished or row.number in status for row in rows)
    running = [found.seconds_left if found.seconds_left is not None else mean for found in status.values()]
    return max((to_come * mean + sum(running)) / workers, max(running, default=0.0))
