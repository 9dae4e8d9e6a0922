"""How rows of the study end: told by the worker that ran them, or by whoever finds that nobody runs them any more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from nines.run_folder import RunFolder
from sweeps.claims import Claim
from sweeps.liveness import Jobs, abandoned
from sweeps.outcome import Outcome, read_outcome
from sweeps.study import Sweep
from sweeps.waiting import locked, never


def finish(
    sweep: Sweep,
    number: int,
    outcome: Outcome,
    *,
    spent: float | None = None,
    claim: Claim | None = None,
    disturbed: Callable[[], bool] = never,
) -> bool:
    """Write how trial `number` ended.

    Args:
        sweep: The open sweep.
        number: Number of the row.
        outcome: How it ended.
        spent: Seconds that it ran since it was taken, added to those before an interruption; None where not measured.
        claim: The claim under which it ran: if the row was taken over since, what became of it is no longer the
            caller's to say. None only for who holds the sweep's lock, or knows that nobody else looks.
        disturbed: Whether to stop waiting for the lock.

    Returns:
        False when somebody else finished it or took it over; then theirs stands. Of several callers one gets True.

    Raises:
        Disturbed: It was not written, or not wholly.
    """
    if claim is None:
        return _write_end(sweep, number, outcome, spent=spent)
    # Claims change only under this lock.
    with locked(sweep.lock, disturbed=disturbed):
        stored = _row(sweep, number).user_attrs.get("claim")
        if stored is None or Claim.read(stored) != claim:
            return False
        return _write_end(sweep, number, outcome, spent=spent)


def settle_dead(sweep: Sweep, jobs: Jobs | None = None) -> list[int]:
    """Settle every row whose process is gone: as its run folder says if the run had ended, else as failed.

    Must be called under the sweep's lock, because only there a row without a claim is known to be abandoned.

    Args:
        sweep: The open sweep.
        jobs: What the scheduler says, asked before the lock was taken, since others must not wait for its answer;
            None asks now.

    Returns:
        The numbers of the rows that this call settled.
    """
    if jobs is None:
        jobs = Jobs.of_this_machine()
        jobs.ask(claim for _, claim in held(rows_of(sweep)))
    settled: list[int] = []
    for row in rows_of(sweep):
        if row.state != TrialState.RUNNING or released(row):
            continue
        stored = row.user_attrs.get("claim")
        if stored is None:
            outcome = Outcome("failed", reason="its worker died before it started", retry=True)
        elif _abandoned(sweep, row, Claim.read(stored), jobs):
            outcome = _last_words(sweep, row, Claim.read(stored))
        else:
            continue
        if _write_end(sweep, row.number, outcome):
            settled.append(row.number)
    return settled


def rows_of(sweep: Sweep) -> Sequence[FrozenTrial]:
    """Every row of the study, as it is now."""
    return sweep.storage.get_all_trials(sweep.study_id, deepcopy=False)


def held(rows: Sequence[FrozenTrial]) -> Iterator[tuple[FrozenTrial, Claim]]:
    """The running rows that somebody has claimed, with the claim."""
    for row in rows:
        if row.state == TrialState.RUNNING and (stored := row.user_attrs.get("claim")) is not None:
            yield row, Claim.read(stored)


def lost(sweep: Sweep, rows: Sequence[FrozenTrial], jobs: Jobs) -> Iterator[FrozenTrial]:
    """The running rows whose holder is gone, as far as `jobs` was told; ask it first."""
    return (row for row, claim in held(rows) if _abandoned(sweep, row, claim, jobs))


def released(row: FrozenTrial) -> bool:
    """Whether the row was interrupted in good order: its claim was given back, not lost."""
    return row.state == TrialState.RUNNING and "claim" in row.user_attrs and row.user_attrs["claim"] is None


def _abandoned(sweep: Sweep, row: FrozenTrial, claim: Claim, jobs: Jobs) -> bool:
    begun = row.datetime_start.timestamp() if row.datetime_start else 0.0
    return abandoned(claim, sweep.folder / row.user_attrs["folder"], begun=begun, jobs=jobs)


def _last_words(sweep: Sweep, row: FrozenTrial, claim: Claim) -> Outcome:
    outcome = read_outcome(RunFolder(sweep.folder / row.user_attrs["folder"]), sweep.definition.objectives)
    if outcome.state in ("completed", "pruned"):
        return outcome
    where = f"{claim.host}, job {claim.job}," if claim.job else claim.host
    return Outcome("failed", reason=f"its worker on {where} died", retry=True)


def _write_end(sweep: Sweep, number: int, outcome: Outcome, *, spent: float | None = None) -> bool:
    trial_id = sweep.storage.get_trial_id_from_study_id_trial_number(sweep.study_id, number)
    attributes: dict[str, Any] = {"reason": outcome.reason}
    if spent is not None:
        attributes["spent"] = spent + float(sweep.storage.get_trial(trial_id).user_attrs.get("spent", 0.0))
    if outcome.state == "interrupted":
        attributes["claim"] = None
    if outcome.state == "failed":
        attributes |= {"retry": outcome.retry, "log_tail": list(outcome.log_tail)}
    if outcome.state == "completed":
        attributes["metrics"] = dict(outcome.metrics)
    try:
        for key, value in attributes.items():
            sweep.storage.set_trial_user_attr(trial_id, key, value)
        if outcome.state == "completed":
            sweep.study().tell(number, list(outcome.values))
        elif outcome.state == "pruned":
            sweep.study().tell(number, state=TrialState.PRUNED)
        elif outcome.state == "failed":
            sweep.storage.set_trial_state_values(trial_id, TrialState.FAIL)
    except UpdateFinishedTrialError:
        return False
    return True


def _row(sweep: Sweep, number: int) -> FrozenTrial:
    trial_id = sweep.storage.get_trial_id_from_study_id_trial_number(sweep.study_id, number)
    return sweep.storage.get_trial(trial_id)
