"""Checks the configurations of a sweep, and makes what its trials share, in a process of its own that imports torch."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from typing import TYPE_CHECKING

from apps.preparation import prepare
from apps.printed_commands import printed
from apps.submission_signals import end_quietly
from nines.errors import ConfigError, NinesError
from nines.files import require_writable
from sweeps.definition import SweepDefinition

if TYPE_CHECKING:
    from apps.sweep_options import SweepRequest
    from sweeps.study import Sweep


def open_checked(request: SweepRequest) -> Sweep:
    """The study, made when it is new, after its configurations were checked and what its trials share was made."""
    from sweeps.records import slots_left
    from sweeps.study import create_study, open_study

    require_writable(request.folder, key="folder" if request.explicit_folder else "runs")
    new = not (request.folder / "sweep.yaml").exists()
    work = new or slots_left(open_study(request.folder).trials(), request.definition) > 0
    if work and (new or request.prepare):
        # A machine without GPUs leaves the outputs of frozen layers to trials that have some.
        trunk = request.launcher is None or request.launcher.gpus_per_node is None
        check_and_prepare(request.definition, check=new, prepared=request.prepare, trunk=trunk)
    return create_study(request.folder, request.definition, storage=request.storage)


def check_and_prepare(
    definition: SweepDefinition, *, check: bool = True, prepared: bool = True, trunk: bool = True
) -> None:
    """Compose and validate configurations that show every choice of the space at least once, then fill the caches.

    Args:
        definition: The sweep.
        check: Do the former: not for a sweep that runs already.
        prepared: Do the latter: not on a machine that is not to compute, or whose caches the workers do not see.
        trunk: Compute the outputs of frozen layers, too: not where the workers have GPUs and this machine has none.

    Raises:
        ConfigError: One of them does not compose, or does not fit the classes that it names.
        WeightsError, DataError, StorageError: What all trials share cannot be made.
    """
    jobs = [
        [*definition.train, *definition.space.overrides(values), f"objective={definition.objectives[0].metric}"]
        for values in definition.space.examples()
    ]
    # Without threads in this process a fork is safe; the checking process ends with all that it imported.
    with multiprocessing.get_context("fork").Pool(1, initializer=end_quietly) as pool:
        problem = pool.apply(first_problem, (jobs,)) if check else None
        if problem is not None:
            raise ConfigError(problem)
        if prepared:
            pool.apply(prepare, (definition.train,), {"trunk": trunk})


def first_problem(jobs: Sequence[Sequence[str]]) -> str | None:
    """What is wrong with the first of `jobs` (lists of overrides of train) that is wrong, None when all are right."""
    from apps.config import compose
    from apps.validation import validate

    for overrides in jobs:
        try:
            validate(compose("train", overrides))
        except NinesError as error:
            return f"a trial of this sweep, `{printed('train', *overrides)}`, cannot run: {error}"
    return None
