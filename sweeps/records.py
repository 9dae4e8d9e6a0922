"""Rows of a study as `TrialRecord`s, and which of them is the best."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from sweeps.claims import Claim
from sweeps.definition import Objective
from sweeps.space import Space
from sweeps.trial import State, TrialRecord

STATES: dict[TrialState, State] = {
    TrialState.WAITING: "waiting",
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "completed",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


def read_records(rows: Sequence[optuna.trial.FrozenTrial], *, folder: Path, space: Space) -> list[TrialRecord]:
    """The rows as records, in their order. Nothing but the process table of this machine is looked at besides.

    Args:
        rows: Rows of the study.
        folder: Folder of the sweep.
        space: Its space, for the config keys of the parameters.
    """
    retried = {row.user_attrs["retry_of"] for row in rows if row.user_attrs.get("retry_of") is not None}
    return [_record(row, folder=folder, space=space, superseded=row.number in retried) for row in rows]


def _record(row: optuna.trial.FrozenTrial, *, folder: Path, space: Space, superseded: bool) -> TrialRecord:
    attributes: dict[str, Any] = row.user_attrs
    state, reason = STATES[row.state], str(attributes.get("reason") or "")
    claim = Claim.read(attributes["claim"]) if attributes.get("claim") else None
    if state == "running" and (claim is None or not claim.alive()):
        state = "interrupted"
        reason = reason or "its worker is gone; the next start of the sweep continues it"
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
