"""The life of a trial: taken by a worker, completed, pruned, failed, interrupted, retried.

Everything follows from the rows of the study, read under the sweep's lock, so a process killed between two steps
leaves nothing that the next looker cannot finish. A set of parameters (`group`) times a training seed is one slot; a
slot is done when one of its rows is completed or pruned, and its rows share one run folder.
"""

from __future__ import annotations

import contextlib
import enum
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from nines.folder_lock import is_locked
from nines.run_folder import RunFolder
from sweeps.claims import Claim
from sweeps.outcome import Outcome, read_outcome
from sweeps.pruners import build_pruner
from sweeps.samplers import build_sampler, fixed_sets
from sweeps.slots import Slots
from sweeps.study import Sweep
from sweeps.trial import TrialJob

CANCELLED = "cancelled"
# A running trial writes its status several times a minute, but for one long validation or a first set-up.
FOREIGN_SILENCE_SECONDS = 900.0


class Idle(enum.Enum):
    """Why there is no trial to take."""

    LATER = "others hold what is left; it may come back if they die"
    DONE = "every slot is completed, pruned or failed for good"


def take(sweep: Sweep) -> TrialJob | Idle:
    """Take the next trial for the calling process, claimed in its name.

    Interrupted trials come first, then retries, repeats of known sets, and at last a new set of parameters.
    """
    with FileLock(sweep.lock):
        settle_dead(sweep)
        rows = _rows(sweep)
        for row in rows:
            if _released(row):
                return _claim(sweep, row.number)
        slots = Slots.read(rows, sweep.definition)
        for row in slots.to_retry():
            _enqueue_retry(sweep, row, retries_used=int(row.user_attrs.get("retries_used", 0)) + 1)
        for row in slots.never_started():
            _enqueue_retry(sweep, row, retries_used=int(row.user_attrs.get("retries_used", 0)))
        waiting = [row for row in _rows(sweep) if row.state == TrialState.WAITING]
        if not waiting and (repeat := slots.missing_repeat()) is not None:
            first, seed = repeat
            _enqueue(sweep, _names(first), {"group": first.user_attrs["group"], "seed": seed, "attempt": 0})
            waiting = [row for row in _rows(sweep) if row.state == TrialState.WAITING]
        if waiting:
            return _start_waiting(sweep, waiting[0])
        if (group := slots.next_group()) is not None:
            return _start_new(sweep, group)
        return Idle.LATER if slots.active() else Idle.DONE


def settle_dead(sweep: Sweep) -> list[int]:
    """Settle every row whose process is gone: as its run folder says if the run had ended, else as failed.

    Must be called under the sweep's lock, because only there a row without a claim is known to be abandoned.

    Returns:
        The numbers of the rows that this call settled.
    """
    settled: list[int] = []
    for row in _rows(sweep):
        if row.state != TrialState.RUNNING or _released(row):
            continue
        stored = row.user_attrs.get("claim")
        if stored is None:
            outcome = Outcome("failed", reason="its worker died before it started", retry=True)
        elif _abandoned(row, Claim.read(stored), sweep.folder / row.user_attrs["folder"]):
            outcome = read_outcome(RunFolder(sweep.folder / row.user_attrs["folder"]), sweep.definition.objectives)
            if outcome.state in ("failed", "interrupted"):
                host = Claim.read(stored).host
                outcome = Outcome("failed", reason=f"its worker on {host} died", retry=True)
        else:
            continue
        if finish(sweep, row.number, outcome):
            settled.append(row.number)
    return settled


def finish(sweep: Sweep, number: int, outcome: Outcome, *, spent: float | None = None) -> bool:
    """Write how trial `number` ended.

    Args:
        sweep: The open sweep.
        number: Number of the row.
        outcome: How it ended.
        spent: Seconds that it ran since it was taken, added to those before an interruption; None where not measured.

    Returns:
        False when somebody else finished it first; then theirs stands. Of several callers exactly one gets True.
    """
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


def retry_failed(sweep: Sweep) -> list[int]:
    """Enqueue every trial that failed for good once more, with a fresh allowance of retries.

    Where the folder, and so the lock, is not to be seen, the rows of dead workers are left to those who see it.

    Returns:
        The numbers of the failed rows.
    """
    with FileLock(sweep.lock) if sweep.visible else contextlib.nullcontext():
        if sweep.visible:
            settle_dead(sweep)
        failed = Slots.read(_rows(sweep), sweep.definition).failed()
        for row in failed:
            _enqueue_retry(sweep, row, retries_used=0)
    return [row.number for row in failed]


def _rows(sweep: Sweep) -> Sequence[FrozenTrial]:
    return sweep.storage.get_all_trials(sweep.study_id, deepcopy=False)


def _abandoned(row: FrozenTrial, claim: Claim, folder: Path) -> bool:
    """Whether nobody runs the trial any more.

    A process of another machine (or of a container that came back under another name) cannot be asked. It counts as
    gone when nobody holds the run folder and the folder has been silent for longer than any step or validation takes.
    """
    if claim.here():
        return not claim.alive()
    status = RunFolder(folder).status
    begun = row.datetime_start.timestamp() if row.datetime_start else 0.0
    spoken = max(begun, status.stat().st_mtime if status.exists() else 0.0)
    return time.time() - spoken > FOREIGN_SILENCE_SECONDS and not is_locked(folder)


def _released(row: FrozenTrial) -> bool:
    """Whether the row was interrupted in good order: its claim was given back, not lost."""
    return row.state == TrialState.RUNNING and "claim" in row.user_attrs and row.user_attrs["claim"] is None


def _enqueue_retry(sweep: Sweep, row: FrozenTrial, *, retries_used: int) -> None:
    """Add a waiting row that goes on where `row` ended: same slot and folder, and what it had reported until then."""
    kept: dict[str, Any] = {key: row.user_attrs[key] for key in ("group", "seed", "folder") if key in row.user_attrs}
    kept["attempt"] = int(row.user_attrs.get("attempt", 0)) + 1
    kept |= {"retries_used": retries_used, "retry_of": row.number}
    _enqueue(sweep, _names(row), kept, intermediate_values=row.intermediate_values)


def _names(row: FrozenTrial) -> Mapping[str, Any]:
    """The row's parameters as the study calls them.

    Those given beforehand come first: a worker that died while it restored them left only a part in `params`.
    """
    return row.system_attrs.get("fixed_params") or row.params


def _enqueue(
    sweep: Sweep,
    names: Mapping[str, Any],
    attributes: dict[str, Any],
    *,
    intermediate_values: dict[int, float] | None = None,
) -> None:
    """Add a waiting row with fixed parameters, `names` as the study calls them. One write, so whole or absent."""
    template = optuna.trial.create_trial(
        state=TrialState.WAITING,
        system_attrs={"fixed_params": dict(names)},
        user_attrs=attributes,
        intermediate_values=intermediate_values,
    )
    sweep.storage.create_new_trial(sweep.study_id, template_trial=template)


def _start_waiting(sweep: Sweep, row: FrozenTrial) -> TrialJob | Idle:
    trial_id = sweep.storage.get_trial_id_from_study_id_trial_number(sweep.study_id, row.number)
    if not sweep.storage.set_trial_state_values(trial_id, TrialState.RUNNING):
        return Idle.LATER
    # Values given beforehand come back from every sampler unchanged; the random one needs no look at the study.
    study = sweep.study(sampler=optuna.samplers.RandomSampler(seed=0), pruner=optuna.pruners.NopPruner())
    sweep.definition.space.suggest(optuna.trial.Trial(study, trial_id))
    return _claim(sweep, row.number)


def _start_new(sweep: Sweep, group: int) -> TrialJob | Idle:
    definition = sweep.definition
    slot = {"seed": 0, "attempt": 0, "group": group}
    if (known := fixed_sets(definition.sampler, definition.space)) is not None:
        _enqueue(sweep, definition.space.names(known[group]), slot)
        return _start_waiting(sweep, next(row for row in _rows(sweep) if row.state == TrialState.WAITING))
    study = sweep.study(sampler=build_sampler(definition.sampler, group=group), pruner=build_pruner(definition.pruner))
    trial = study.ask()
    definition.space.suggest(trial)
    # From here on the row counts as a set of parameters; before, a dead worker leaves a row that nobody misses.
    for key, value in slot.items():
        trial.set_user_attr(key, value)
    return _claim(sweep, trial.number)


def _claim(sweep: Sweep, number: int) -> TrialJob:
    trial_id = sweep.storage.get_trial_id_from_study_id_trial_number(sweep.study_id, number)
    row = sweep.storage.get_trial(trial_id)
    folder = row.user_attrs.get("folder", f"trials/{number:04d}")
    attributes = {"folder": folder, "reason": "", "claim": Claim.mine().as_mapping()}
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
    )


def _overrides(sweep: Sweep, row: FrozenTrial) -> tuple[str, ...]:
    """Base, parameters, objective and seed, always in this order, so that equal trials have equal overrides."""
    definition, objective = sweep.definition, sweep.objective
    lines = [*definition.train, *definition.space.overrides(definition.space.values(row.params))]
    lines += [f"objective={objective.metric}", f"objective_mode={objective.direction[:3]}"]
    if definition.seeds > 1 or not any(line.startswith("seed=") for line in definition.train):
        lines.append(f"seed={row.user_attrs['seed']}")
    return tuple(lines)
