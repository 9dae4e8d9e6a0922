"""A real study in a real folder, filled by a toy objective: completed, pruned, failed, retried and running rows."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from sweeps.claims import Claim
from sweeps.definition import SweepDefinition, parse_definition
from sweeps.report.page import report_page
from sweeps.study import Sweep, create_study
from sweeps.trial import TrialRecord

STEPS = (10, 20, 30)

DEFINITION: dict[str, Any] = {
    "name": "toy",
    "question": "Does clipping let us raise the learning rate?",
    "train": ["trainer=cpu"],
    "space": {
        "module.optimizer.lr": "tag(log, interval(1e-5, 1e-2))",
        "clipping": "choice(none, norm, value)",
        "imbalance": "choice(none, focal)",
    },
    "conditions": {"clipping=norm": {"module.clipping.threshold": "interval(0.1, 2.0)"}},
    "objectives": {"valid/partial_auc": "maximize"},
    "trials": 20,
    "seeds": 3,
    "pruner": "median",
}


@dataclass
class ToySweep:
    """Adds rows to a study the way the workers do."""

    sweep: Sweep

    @property
    def definition(self) -> SweepDefinition:
        return self.sweep.definition

    @property
    def records(self) -> list[TrialRecord]:
        return self.sweep.trials()

    def begin(self, group: int, seed: int, params: Mapping[str, Any], **attributes: Any) -> optuna.Trial:
        study = self.sweep.study(sampler=optuna.samplers.RandomSampler(seed=group * 1000 + seed))
        study.enqueue_trial(self.definition.space.names(params))
        trial = study.ask()
        self.definition.space.suggest(trial)
        values = {"group": group, "seed": seed, "folder": f"trials/{trial.number:04d}", **attributes}
        for name, value in {"claim": Claim.mine().as_mapping(), **values}.items():
            trial.set_user_attr(name, value)
        return trial

    def complete(self, group: int, seed: int, params: Mapping[str, Any], values: float | tuple[float, ...]) -> int:
        listed = values if isinstance(values, tuple) else (values,)
        metrics = dict(zip((each.metric for each in self.definition.objectives), listed, strict=True))
        trial = self.begin(group, seed, params, metrics={**metrics, "test/auroc": 0.5})
        if len(listed) == 1:
            for step in STEPS:
                trial.report(listed[0] - 0.3 * (1 - step / STEPS[-1]), step)
        self.sweep.study().tell(trial, list(listed))
        return trial.number

    def prune(self, group: int, seed: int, params: Mapping[str, Any], value: float) -> int:
        trial = self.begin(group, seed, params, reason="the median pruner stopped it")
        trial.report(value, STEPS[0])
        self.sweep.study().tell(trial, state=TrialState.PRUNED)
        return trial.number

    def fail(self, group: int, seed: int, params: Mapping[str, Any], *, retry_of: int | None = None) -> int:
        trial = self.begin(
            group, seed, params, reason="OutOfMemoryError: <planted> & quoted", log_tail=["step 7", "Killed <9>"],
            retry_of=retry_of, attempt=0 if retry_of is None else 1,
        )  # fmt: skip
        self.sweep.study().tell(trial, state=TrialState.FAIL)
        return trial.number

    def fill(self, score: Callable[[Mapping[str, Any]], float], *, sets: int, noise: float, seed: int = 0) -> None:
        """`sets` random sets of parameters, each at every seed of the definition."""
        generator = np.random.default_rng(seed)
        sampler = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
        for group in range(sets):
            params = self.definition.space.suggest(sampler.ask())
            for repeat in range(self.definition.seeds):
                self.complete(group, repeat, params, score(params) + noise * float(generator.normal()))


MakeSweep = Callable[..., ToySweep]


def new_sweep(folder: Path, **changes: Any) -> ToySweep:
    """An empty sweep below `folder`: the toy definition with changes."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    definition = parse_definition({**DEFINITION, **changes})
    return ToySweep(create_study(folder / definition.folder_name, definition))


@pytest.fixture
def make_sweep(tmp_path: Path) -> MakeSweep:
    """Makes an empty sweep from the toy definition with changes."""
    return functools.partial(new_sweep, tmp_path)


def planted_score(params: Mapping[str, Any]) -> float:
    """Clipping by norm is worth 0.1, the best learning rate is 1e-3, the imbalance strategy does nothing."""
    distance = abs(np.log10(params["module.optimizer.lr"]) + 3)
    return float(0.8 - 0.05 * distance + (0.1 if params["clipping"] == "norm" else 0.0))


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> ToySweep:
    """24 sets at 3 seeds with the planted effects; then 72 is pruned, 73 fails, 74 retries it and fails, 75 runs.

    Shared by all tests, so none may add to it.
    """
    toy = new_sweep(tmp_path_factory.mktemp("planted"))
    toy.fill(planted_score, sets=24, noise=0.004)
    params = {"module.optimizer.lr": 5e-3, "clipping": "none", "imbalance": "focal"}
    toy.prune(24, 0, params, 0.21)
    first = toy.fail(25, 0, params)
    toy.fail(25, 0, params, retry_of=first)
    running = toy.begin(26, 0, params)
    running.report(0.61, STEPS[0])
    return toy


@pytest.fixture(scope="session")
def planted_page(planted: ToySweep) -> str:
    """The page of the planted sweep; made once, as it takes seconds."""
    return report_page(planted.records, planted.definition)
