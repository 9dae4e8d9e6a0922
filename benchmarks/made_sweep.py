"""A made-up study like that of a real sweep of many trials, for measuring what reads it.

Its rows hold parameters under a condition, a value each validation, claim, folder, metrics with intervals; some are
pruned, failed and retried, a few running with a status file.
"""

from __future__ import annotations

import datetime
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.storages.journal import BaseJournalBackend, JournalStorage
from optuna.trial import FrozenTrial, TrialState

from nines.run_folder import RunFolder, RunStatus
from sweeps.claims import Claim
from sweeps.definition import SweepDefinition, parse_definition
from sweeps.journal import WholeLines
from sweeps.space import Space
from sweeps.storage_url import JOURNAL
from sweeps.study import Sweep, create_study

VALIDATIONS = 10
RUNNING = 8
METRICS = 60


def definition(trials: int) -> SweepDefinition:
    """A sweep like the shipped one over clipping."""
    return parse_definition(
        {
            "name": "clipping",
            "question": "Does clipping let us raise the learning rate?",
            "train": ["model=tiny", "test=false"],
            "space": {
                "module.optimizer.lr": "tag(log, interval(1e-5, 1e-3))",
                "clipping": "choice(none, norm, value, adaptive)",
                "module.model.dropout": "interval(0, 0.5)",
            },
            "conditions": {"clipping=norm": {"module.clipping.max_norm": "tag(log, interval(0.1, 10))"}},
            "objectives": ["valid/partial_auc"],
            "trials": trials,
        }
    )


def make_sweep(folder: Path, trials: int, *, storage: str | None = None) -> Sweep:
    """A sweep of `trials` sets: of every ten one pruned, one failed and retried, and the last ones running."""
    sweep = create_study(folder, definition(trials), storage=storage)
    draw = random.Random(0)
    rows = [row for group in range(trials) for row in _rows_of(group, trials, sweep.definition.space, draw)]
    numbered = [_numbered(row, number, rows) for number, row in enumerate(rows)]
    if isinstance(sweep.storage, JournalStorage):
        _write_as_lived(sweep, numbered)
    else:
        sweep.study().add_trials(numbered)
    for number, row in enumerate(numbered):
        if row.state == TrialState.RUNNING:
            run = RunFolder(folder / "trials" / f"{number:04d}")
            run.path.mkdir(parents=True)
            RunStatus("running", step=300, total_steps=1000, objective=0.7, seconds_left=60.0).write(run)
    return sweep


class Lines(BaseJournalBackend):
    """A journal in memory, which begins with `lines`."""

    def __init__(self, lines: Iterable[dict[str, Any]]) -> None:
        self.lines = list(lines)

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """The lines from number `log_number_from` on."""
        return self.lines[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add lines."""
        self.lines += logs


def _write_as_lived(sweep: Sweep, rows: Sequence[FrozenTrial]) -> None:
    """Write each parameter, report and attribute on a line of its own, as workers do, in one append at the end.

    A database holds the same tables however its rows came about; a journal holds, and `status` reads, their history.
    """
    journal = WholeLines(Path(sweep.storage_url.removeprefix(JOURNAL)))
    lines = Lines(journal.read_logs(0))
    known = len(lines.lines)
    storage = JournalStorage(lines)
    for row in rows:
        trial_id = storage.create_new_trial(sweep.study_id)
        for name, distribution in row.distributions.items():
            storage.set_trial_param(trial_id, name, distribution.to_internal_repr(row.params[name]), distribution)
        for key, attribute in row.user_attrs.items():
            storage.set_trial_user_attr(trial_id, key, attribute)
        for step, value in row.intermediate_values.items():
            storage.set_trial_intermediate_value(trial_id, step, value)
        if row.state.is_finished():
            storage.set_trial_state_values(trial_id, row.state, row.values)
    journal.append_logs(lines.lines[known:])


def _rows_of(group: int, trials: int, space: Space, draw: random.Random) -> list[FrozenTrial]:
    running = trials - group <= min(RUNNING, trials // 2)
    state = TrialState.RUNNING if running else TrialState.PRUNED if group % 10 == 3 else TrialState.COMPLETE
    last = _row(group, state, space, draw)
    if group % 10 != 5 or running:
        return [last]
    failed = _row(group, TrialState.FAIL, space, draw)
    last.user_attrs |= {"attempt": 1, "retries_used": 1, "retry_of": -1}
    return [failed, last]


def _row(group: int, state: TrialState, space: Space, draw: random.Random) -> FrozenTrial:
    clipping = draw.choice(["none", "norm", "value", "adaptive"])
    values: dict[str, Any] = {
        "module.optimizer.lr": 10 ** draw.uniform(-5, -3),
        "clipping": clipping,
        "module.model.dropout": draw.uniform(0, 0.5),
    }
    distributions: dict[str, BaseDistribution] = {
        "module.optimizer.lr": FloatDistribution(1e-5, 1e-3, log=True),
        "clipping": CategoricalDistribution(["none", "norm", "value", "adaptive"]),
        "module.model.dropout": FloatDistribution(0, 0.5),
    }
    if clipping == "norm":
        values["module.clipping.max_norm"] = 10 ** draw.uniform(-1, 1)
        distributions["module.clipping.max_norm"] = FloatDistribution(0.1, 10, log=True)
    names = space.names(values)
    value = draw.random()
    attributes: dict[str, Any] = {"group": group, "seed": 0, "attempt": 0, "reason": "", "spent": 60 + 60 * value}
    attributes["claim"] = Claim.mine().as_mapping()
    if state == TrialState.COMPLETE:
        attributes["metrics"] = {f"valid/metric_{index}": draw.random() for index in range(METRICS)}
    if state == TrialState.FAIL:
        attributes |= {"reason": "its process was killed by SIGKILL", "log_tail": ["a line of its log"] * 20}
    begun = datetime.datetime(2026, 1, 1) + datetime.timedelta(minutes=group)
    row = optuna.trial.create_trial(
        state=TrialState.COMPLETE if state == TrialState.RUNNING else state,
        params=names,
        distributions=dict(zip(names, distributions.values(), strict=True)),
        value=value if state != TrialState.FAIL else None,
        intermediate_values={step * 50: draw.random() for step in range(1, VALIDATIONS + 1)},
        user_attrs=attributes,
    )
    row.datetime_start = begun
    if state == TrialState.RUNNING:
        row.state, row.values, row.datetime_complete = TrialState.RUNNING, None, None
    return row


def _numbered(row: FrozenTrial, number: int, rows: Sequence[FrozenTrial]) -> FrozenTrial:
    attributes = row.user_attrs
    first = number
    if "retry_of" in attributes:
        first = next(at for at, other in enumerate(rows) if other.user_attrs["group"] == attributes["group"])
        attributes["retry_of"] = first
    attributes["folder"] = f"trials/{first:04d}"
    return row
