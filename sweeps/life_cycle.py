"""The life of a trial: taken by a worker, completed, pruned, failed, interrupted, retried.

Everything follows from the rows of the study, read under the sweep's lock, so a process killed between two steps
leaves nothing that the next looker cannot finish. A set of parameters (`group`) times a training seed is one slot; a
slot is done when one of its rows is completed or pruned, and its rows share one run folder.

A worker in a job of the scheduler keeps its claims when the job is requeued: the job that comes back takes them up.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
from collections.abc import Callable

import optuna
from optuna.trial import FrozenTrial, TrialState

from nines.run_folder import RunFolder
from nines.run_owner import take_over
from sweeps.claims import Claim
from sweeps.enqueueing import enqueue, enqueue_retry, parameters_of
from sweeps.liveness import Jobs
from sweeps.outcome import read_outcome
from sweeps.pruners import build_pruner
from sweeps.samplers import build_sampler, fixed_sets
from sweeps.settling import finish, held, lost, released, rows_of, settle_dead
from sweeps.slots import SUPERSEDED_BY, Slots
from sweeps.study import Sweep
from sweeps.trial import TrialJob
from sweeps.waiting import locked, never

__all__ = ["CANCELLED", "CANCELS", "Idle", "finish", "retry_failed", "settle_dead", "take", "work_left"]

CANCELLED = "cancelled"
# How often the sweep was cancelled; unlike the mark it stays when the sweep is started again.
CANCELS = "cancels"


class Idle(enum.Enum):
    """Why there is no trial to take."""

    LATER = "others hold what is left; it may come back if they die"
    DONE = "every slot is completed, pruned or failed for good"
    REPLACED = "the job of this worker was put back and runs again; this one was left behind on a node that was lost"


def take(
    sweep: Sweep, me: Claim | None = None, *, jobs: Jobs | None = None, disturbed: Callable[[], bool] = never
) -> TrialJob | Idle:
    """Take the next trial, claimed in the name of `me`.

    What this slot of this job held before a requeue comes first, then interrupted trials, retries, repeats of known
    sets, and at last a new set of parameters.

    Args:
        sweep: The open sweep.
        me: Who takes it; None: the calling process, outside of any job.
        jobs: What the scheduler says of the jobs that hold trials; None: asks the scheduler of this machine.
        disturbed: Whether to stop waiting for the lock.

    Raises:
        Disturbed: Nothing was taken, or the caller was cut short while it claimed: then it, or whoever looks after it
            is gone, finds the row again.
    """
    me = me or Claim.mine()
    jobs = jobs or Jobs.of_this_machine(own=me.job)
    jobs.ask(claim for _, claim in held(rows_of(sweep)))
    with locked(sweep.lock, disturbed=disturbed):
        if any(me.before_requeue_of(claim) for _, claim in held(rows_of(sweep))):
            return Idle.REPLACED
        if (kept := _taken_before(sweep, me)) is not None:
            return _claim(sweep, kept, me)
        settle_dead(sweep, jobs)
        rows = rows_of(sweep)
        for row in rows:
            if released(row):
                return _claim(sweep, row.number, me)
        slots = Slots.read(rows, sweep.definition)
        for row in slots.to_retry():
            enqueue_retry(sweep, row, retries_used=int(row.user_attrs.get("retries_used", 0)) + 1)
        for row in slots.never_started():
            enqueue_retry(sweep, row, retries_used=int(row.user_attrs.get("retries_used", 0)))
        _close_surplus(sweep)
        waiting = _waiting(sweep)
        if not waiting and (repeat := slots.missing_repeat()) is not None:
            first, seed = repeat
            enqueue(sweep, parameters_of(first), {"group": first.user_attrs["group"], "seed": seed, "attempt": 0})
            waiting = _waiting(sweep)
        if waiting:
            return _start_waiting(sweep, waiting[0], me)
        if (group := slots.next_group()) is not None:
            return _start_new(sweep, group, me)
        return Idle.LATER if slots.active() else Idle.DONE


def work_left(sweep: Sweep, me: Claim, *, jobs: Jobs | None = None) -> bool:
    """Whether a worker of the job of `me` would find something to do now that no live worker does.

    Args:
        sweep: The open sweep.
        me: The worker that asks.
        jobs: What the scheduler says of the jobs that hold trials; None: asks the scheduler of this machine.
    """
    jobs = jobs or Jobs.of_this_machine(own=me.job)
    rows = rows_of(sweep)
    jobs.ask(claim for _, claim in held(rows))
    slots = Slots.read(rows, sweep.definition)
    return (
        any(released(row) or row.state == TrialState.WAITING for row in rows)
        or any(claim.job == me.job for _, claim in held(rows))
        # Nobody may have looked since they died, and whoever does first may be the next start of the sweep.
        or any(True for _ in lost(sweep, rows, jobs))
        or bool(slots.to_retry() or slots.never_started())
        or slots.missing_repeat() is not None
        or slots.next_group() is not None
    )


def retry_failed(sweep: Sweep) -> list[int]:
    """Enqueue every trial that failed for good once more, with a fresh allowance of retries.

    Where the folder, and so the lock, is not to be seen, the rows of dead workers are left to those who see it, and so
    is the choice between rows that two such callers add for the same failure, see `Slots.surplus`.

    Returns:
        The numbers of the failed rows.
    """
    jobs = Jobs.of_this_machine()
    jobs.ask(claim for _, claim in held(rows_of(sweep)))
    with locked(sweep.lock) if sweep.visible else contextlib.nullcontext():
        if sweep.visible:
            settle_dead(sweep, jobs)
        failed = Slots.read(rows_of(sweep), sweep.definition).failed()
        for row in failed:
            enqueue_retry(sweep, row, retries_used=0)
    return [row.number for row in failed]


def _waiting(sweep: Sweep) -> list[FrozenTrial]:
    return [row for row in rows_of(sweep) if row.state == TrialState.WAITING]


def _close_surplus(sweep: Sweep) -> None:
    """Fail the rows that wait although another one stands for their slot, so that nobody starts them."""
    slots = Slots.read(rows_of(sweep), sweep.definition)
    for row in slots.surplus:
        trial_id = sweep.storage.get_trial_id_from_study_id_trial_number(sweep.study_id, row.number)
        sweep.storage.set_trial_user_attr(trial_id, SUPERSEDED_BY, slots.standing_for(row).number)
        sweep.storage.set_trial_user_attr(trial_id, "reason", "another row retries it")
        sweep.storage.set_trial_state_values(trial_id, TrialState.FAIL)


def _taken_before(sweep: Sweep, me: Claim) -> int | None:
    """The row that this slot of this job held when it was requeued; one whose run had ended by then is settled."""
    for row, claim in list(held(rows_of(sweep))):
        if not me.same_place(claim):
            continue
        outcome = read_outcome(RunFolder(sweep.folder / row.user_attrs["folder"]), sweep.definition.objectives)
        # A failure is not believed: when a job is ended, the ranks that die last complain of those that died first.
        if outcome.state not in ("completed", "pruned"):
            return row.number
        finish(sweep, row.number, outcome)
    return None


def _start_waiting(sweep: Sweep, row: FrozenTrial, me: Claim) -> TrialJob | Idle:
    trial_id = sweep.storage.get_trial_id_from_study_id_trial_number(sweep.study_id, row.number)
    if not sweep.storage.set_trial_state_values(trial_id, TrialState.RUNNING):
        return Idle.LATER
    # Values given beforehand come back from every sampler unchanged; the random one needs no look at the study.
    study = sweep.study(sampler=optuna.samplers.RandomSampler(seed=0), pruner=optuna.pruners.NopPruner())
    sweep.definition.space.suggest(optuna.trial.Trial(study, trial_id))
    return _claim(sweep, row.number, me)


def _start_new(sweep: Sweep, group: int, me: Claim) -> TrialJob | Idle:
    definition = sweep.definition
    slot = {"seed": 0, "attempt": 0, "group": group}
    if (known := fixed_sets(definition.sampler, definition.space)) is not None:
        enqueue(sweep, definition.space.names(known[group]), slot)
        return _start_waiting(sweep, _waiting(sweep)[0], me)
    study = sweep.study(sampler=build_sampler(definition.sampler, group=group), pruner=build_pruner(definition.pruner))
    trial = study.ask()
    definition.space.suggest(trial)
    # From here on the row counts as a set of parameters; before, a dead worker leaves a row that nobody misses.
    for key, value in slot.items():
        trial.set_user_attr(key, value)
    return _claim(sweep, trial.number, me)


def _claim(sweep: Sweep, number: int, me: Claim) -> TrialJob:
    """Claim a row, and fence off whatever still runs in its folder; both under the lock, so in the same order."""
    trial_id = sweep.storage.get_trial_id_from_study_id_trial_number(sweep.study_id, number)
    row = sweep.storage.get_trial(trial_id)
    folder = row.user_attrs.get("folder", f"trials/{number:04d}")
    claim = dataclasses.replace(me, token=take_over(sweep.folder / folder))
    attributes = {"folder": folder, "reason": "", "claim": claim.as_mapping()}
    for key, value in attributes.items():
        sweep.storage.set_trial_user_attr(trial_id, key, value)
    return TrialJob(
        folder=sweep.folder / folder,
        overrides=_overrides(sweep, row),
        storage=sweep.storage_url,
        study=sweep.name,
        trial_id=trial_id,
        number=number,
        objectives=tuple(objective.metric for objective in sweep.definition.objectives),
        claim=claim,
    )


def _overrides(sweep: Sweep, row: FrozenTrial) -> tuple[str, ...]:
    """Base, parameters, objective and seed, always in this order, so that equal trials have equal overrides."""
    definition, objective = sweep.definition, sweep.objective
    lines = [*definition.train, *definition.space.overrides(definition.space.values(row.params))]
    lines += [f"objective={objective.metric}", f"objective_mode={objective.direction[:3]}"]
    if definition.seeds > 1 or not any(line.startswith("seed=") for line in definition.train):
        lines.append(f"seed={row.user_attrs['seed']}")
    return tuple(lines)
