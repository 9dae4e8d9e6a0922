"""Rows of the study that wait for a worker: retries, repeats over seeds, and sets that were fixed beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweeps.study import Sweep


def enqueue_retry(sweep: Sweep, row: FrozenTrial, *, retries_used: int) -> None:
    """Add a waiting row that goes on where `row` ended: same slot and folder, and what it had reported until then."""
    kept: dict[str, Any] = {key: row.user_attrs[key] for key in ("group", "seed", "folder") if key in row.user_attrs}
    kept["attempt"] = int(row.user_attrs.get("attempt", 0)) + 1
    kept |= {"retries_used": retries_used, "retry_of": row.number}
    enqueue(sweep, parameters_of(row), kept, intermediate_values=row.intermediate_values)


def parameters_of(row: FrozenTrial) -> Mapping[str, Any]:
    """The row's parameters as the study calls them.

    Those given beforehand come first: a worker that died while it restored them left only a part in `params`.
    """
    return row.system_attrs.get("fixed_params") or row.params


def enqueue(
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
