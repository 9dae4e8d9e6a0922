"""The rules that a sweep must have kept, whatever happened to it; pure functions over its rows and traces."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.chaos.resumes import Resumes
from benchmarks.chaos.trace import Event
from sweeps.trial import TrialRecord

# Ranks that were starting when their job was cancelled still have KillWait to live, and may begin to train in it.
KILL_WAIT_SECONDS = 30.0
CANCELLED_JOB = re.compile(r"job (\S+)")


def check_rows(rows: Sequence[TrialRecord], *, trials: int, retries: int) -> list[str]:
    """Every set of parameters was completed exactly once, or failed for a stated reason after its retries.

    Args:
        rows: All rows of the study.
        trials: Sets of parameters that were asked for.
        retries: How often a set may be tried again.

    Returns:
        One line for each violation.
    """
    violations: list[str] = []
    # A worker that dies between asking and writing down the set leaves a failed row without one, which nobody misses.
    groups: defaultdict[int, list[TrialRecord]] = defaultdict(list)
    for row in rows:
        if row.group >= 0:
            groups[row.group].append(row)
    missing = sorted(set(range(trials)) - groups.keys())
    if missing:
        violations.append(f"sets of parameters that never ran: {missing}")
    if extra := sorted(groups.keys() - set(range(trials))):
        violations.append(f"sets of parameters that nobody asked for: {extra}")
    for group, members in sorted(groups.items()):
        violations += [f"set {group}: {line}" for line in _check_group(members, retries=retries)]
    parameters = [tuple(sorted(members[0].params.items())) for members in groups.values()]
    if len(set(parameters)) != len(parameters):
        violations.append(f"{len(parameters) - len(set(parameters))} sets of parameters came twice")
    return violations


def _check_group(rows: Sequence[TrialRecord], *, retries: int) -> list[str]:
    lines: list[str] = []
    states = [row.state for row in rows]
    if open_rows := [row.number for row in rows if not row.finished]:
        lines.append(f"rows {open_rows} are not finished: {states}")
    completed = states.count("completed")
    if completed > 1:
        lines.append(f"completed {completed} times")
    if len({tuple(sorted(row.params.items())) for row in rows}) > 1:
        lines.append("its rows have different parameters")
    if len({row.folder for row in rows}) > 1:
        lines.append("its rows have different run folders")
    by_number = {row.number: row for row in rows}
    for row in rows:
        if row.attempt > 0 and (row.retry_of not in by_number or by_number[row.retry_of].state != "failed"):
            lines.append(f"row {row.number} is attempt {row.attempt} but retries no failed row ({row.retry_of})")
        if row.state == "failed" and not row.reason:
            lines.append(f"row {row.number} failed without a reason")
    last = [row for row in rows if not row.superseded]
    if len(last) != 1:
        lines.append(f"{len(last)} rows stand for it: {[row.number for row in last]}")
    elif last[0].state == "failed" and states.count("failed") <= retries:
        lines.append(f"given up after {states.count('failed')} attempts: {last[0].reason}")
    elif last[0].finished and last[0].state not in ("completed", "failed"):
        lines.append(f"ended as {last[0].state}")
    return lines


def check_metrics(rows: Sequence[TrialRecord], undisturbed: Mapping[int, Mapping[str, float]]) -> list[str]:
    """Every completed trial has exactly the metrics of the undisturbed run with its parameters.

    Args:
        rows: Rows of the study.
        undisturbed: Set of parameters to metrics.

    Returns:
        One line for each violation.
    """
    violations: list[str] = []
    for row in rows:
        if row.state != "completed" or row.group < 0:
            continue
        expected, found = undisturbed.get(row.group, {}), row.metrics
        if not expected or not found:
            violations.append(f"set {row.group}: no metrics to compare")
            continue
        names = sorted(expected.keys() | found.keys())
        if different := [name for name in names if expected.get(name) != found.get(name)]:
            name = different[0]
            violations.append(
                f"set {row.group}: {len(different)} metrics differ from the undisturbed run, "
                f"{name} is {found.get(name)} instead of {expected.get(name)}"
            )
    return violations


def check_resumes(resumes: Mapping[int, Resumes], rows: Sequence[TrialRecord]) -> list[str]:
    """Every attempt went on at its newest checkpoint, and every completed trial left a trace that shows it."""
    violations = [f"set {group}: {line}" for group, found in sorted(resumes.items()) for line in found.violations]
    completed = {row.group for row in rows if row.state == "completed" and row.group >= 0}
    traced = {group for group, found in resumes.items() if found.attempts}
    return violations + [f"set {group}: completed without a trace" for group in sorted(completed - traced)]


def check_cancelled(blows: Iterable[Mapping[str, Any]], events: Iterable[Event]) -> list[str]:
    """A job that was cancelled starts nothing any more: nobody put it back into the queue.

    Args:
        blows: What the attacker wrote down.
        events: The traces of all trials.

    Returns:
        One line for each violation.
    """
    cancelled: dict[str, float] = {}
    for blow in blows:
        # scancel says nothing when it was heard.
        if blow["blow"] == "cancel" and blow.get("hit") and not blow.get("said"):
            cancelled.setdefault(CANCELLED_JOB.findall(blow["target"])[0], blow["time"])
    events = list(events)
    violations: list[str] = []
    for job, moment in sorted(cancelled.items()):
        before = [event.restarts for event in events if event.job == job and event.time <= moment]
        for event in events:
            if event.job != job or event.kind != "start" or event.time <= moment:
                continue
            if event.time > moment + KILL_WAIT_SECONDS or (before and event.restarts > max(before)):
                late = event.time - moment
                violations.append(f"job {job} started attempt {event.attempt} {late:.0f} s after it was cancelled")
    return violations
