"""Rows of a study as `TrialRecord`s, and which of them is the best."""

from __future__ import annotations

import functools
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from slurm.queue import JobState
from sweeps.claims import Claim
from sweeps.definition import Objective, SweepDefinition
from sweeps.liveness import Jobs
from sweeps.samplers import fixed_sets
from sweeps.slots import SUPERSEDED_BY
from sweeps.space import Space
from sweeps.trial import State, TrialRecord

STATES: dict[TrialState, State] = {
    TrialState.WAITING: "waiting",
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "completed",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


def read_records(
    rows: Sequence[optuna.trial.FrozenTrial], *, folder: Path, space: Space, jobs: Jobs | None = None
) -> list[TrialRecord]:
    """The rows as records, in their order.

    Nothing is looked at besides but the process table of this machine, and the scheduler where jobs hold trials.

    Args:
        rows: Rows of the study.
        folder: Folder of the sweep.
        space: Its space, for the config keys of the parameters.
        jobs: What the scheduler says of the jobs that hold trials; None: the scheduler of this machine.
    """
    retried = {row.user_attrs["retry_of"] for row in rows if row.user_attrs.get("retry_of") is not None}
    claims = {
        row.number: Claim.read(row.user_attrs["claim"])
        for row in rows
        if row.user_attrs.get("claim") and (row.state == TrialState.RUNNING or row.state.is_finished())
    }
    running = [claims[row.number] for row in rows if row.state == TrialState.RUNNING and row.number in claims]
    if any(claim.job for claim in running):
        jobs = jobs or _jobs_of_this_machine()
        jobs.ask(running)
    return [
        _record(
            row,
            folder=folder,
            space=space,
            superseded=row.number in retried or SUPERSEDED_BY in row.user_attrs,
            claim=claims.get(row.number),
            jobs=jobs,
        )
        for row in rows
    ]


@functools.cache
def _jobs_of_this_machine() -> Jobs:
    """One for the process, since a live table reads the records every second."""
    return Jobs.of_this_machine()


def _record(
    row: optuna.trial.FrozenTrial,
    *,
    folder: Path,
    space: Space,
    superseded: bool,
    claim: Claim | None,
    jobs: Jobs | None,
) -> TrialRecord:
    attributes: dict[str, Any] = row.user_attrs
    state, reason = STATES[row.state], str(attributes.get("reason") or "")
    if state == "running" and (pause := _pause(claim, jobs)):
        state, reason = "interrupted", reason or pause
    # A waiting row has no parameters of its own yet; those that it was given lie with its attributes.
    names = row.params or row.system_attrs.get("fixed_params", {})
    return TrialRecord(
        number=row.number,
        state=state,
        params=space.values(names),
        values=tuple(row.values) if row.values is not None else None,
        intermediate_values=dict(sorted(row.intermediate_values.items())),
        metrics=dict(attributes.get("metrics") or {}),
        group=int(attributes.get("group", -1)),
        seed=int(attributes.get("seed", 0)),
        attempt=int(attributes.get("attempt", 0)),
        retry_of=attributes.get("retry_of"),
        superseded=superseded,
        folder=folder / str(attributes.get("folder", f"trials/{row.number:04d}")),
        started=row.datetime_start,
        completed=row.datetime_complete,
        reason=reason,
        log_tail=tuple(attributes.get("log_tail") or ()),
        host=claim.host if claim is not None else "",
        spent=attributes.get("spent"),
    )


def _pause(claim: Claim | None, jobs: Jobs | None) -> str:
    """Why nobody runs a trial at the moment that is under way, "" when somebody does or may."""
    gone = "its worker is gone; the next start of the sweep continues it"
    if claim is None or not claim.alive():
        return gone
    state = jobs.state(claim) if jobs is not None and claim.job else None
    if state is JobState.PENDING:
        return f"its job {claim.job} waits in the queue, and continues it"
    if claim.job and state is not None and state.over:
        return f"its job {claim.job} is over; the next start of the sweep continues it"
    return ""


def trial_name(record: TrialRecord) -> str:
    """The row's number, and after a retry the number of the first attempt, by which its folder is called.

    >>> trial_name(TrialRecord(number=12, folder=Path("trials/0003"), ...))  # doctest: +SKIP
    '12 (retry of 3)'
    """
    first = record.folder.name
    if record.retry_of is None or not first.isdigit():
        return str(record.number)
    return f"{record.number} (retry of {int(first)})"


def slots_asked_for(records: Iterable[TrialRecord], definition: SweepDefinition) -> int:
    """Trials (set of parameters × seed) that the sweep will have when it is done.

    A grid has no more sets than its combinations, and a set whose first seed was pruned has no repeats.
    """
    rows = results(records)
    known = fixed_sets(definition.sampler, definition.space)
    sets = definition.trials if known is None else min(definition.trials, len(known))
    pruned_sets = sum(row.state == "pruned" and row.seed == 0 for row in rows)
    return max(sets * definition.seeds - pruned_sets * (definition.seeds - 1), len(rows))


def slots_left(records: Iterable[TrialRecord], definition: SweepDefinition) -> int:
    """Of those, the ones that are not completed, pruned or failed for good."""
    rows = results(records)
    return slots_asked_for(rows, definition) - sum(row.finished for row in rows)


def results(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """The rows that stand for a result or the lack of one: superseded attempts left out."""
    return [record for record in records if not record.superseded and record.group >= 0]


def best_record(records: Iterable[TrialRecord], *, objective: Objective) -> TrialRecord | None:
    """The best completed trial by the first objective.

    With repeats over seeds the set of parameters with the best mean wins, among those with the most completed
    repeats, and its best repeat stands for it: one lucky seed does not choose the parameters.

    Args:
        records: Any rows of one sweep.
        objective: The objective to go by.
    """
    groups: defaultdict[int, list[tuple[float, TrialRecord]]] = defaultdict(list)
    for record in results(records):
        if record.state == "completed" and record.value is not None:
            groups[record.group].append((record.value, record))
    if not groups:
        return None
    sign = 1.0 if objective.direction == "maximize" else -1.0
    most = max(len(members) for members in groups.values())
    complete = [members for members in groups.values() if len(members) == most]
    chosen = max(complete, key=lambda members: sign * statistics.fmean(value for value, _ in members))
    return max(chosen, key=lambda member: sign * member[0])[1]
