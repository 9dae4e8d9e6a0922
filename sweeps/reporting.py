"""What rank 0 of a trial uses to report its objective and to hear whether to stop early."""

from __future__ import annotations

import math
import sys

import optuna

from nines.errors import StorageError
from sweeps.definition import parse_definition
from sweeps.pruners import build_pruner
from sweeps.storage import open_storage
from sweeps.study import DEFINITION_ATTRIBUTE

# How long a trial that begins waits for a database server that is restarted.
WAIT_SECONDS = 600.0
# How long a validation waits for it: the report can be made up for with the next one, the time of GPUs cannot.
REPORT_SECONDS = 30.0


class TrialReporter:
    """Reports one trial's objective. Create it in the process that reports; a storage does not survive a fork.

    Args:
        storage: Storage URL of the job.
        study: Study name of the job.
        trial_id: Trial id of the job.
    """

    def __init__(self, storage: str, study: str, trial_id: int) -> None:
        opened = open_storage(storage, wait_seconds=WAIT_SECONDS, patience_seconds=REPORT_SECONDS)
        definition = parse_definition(
            opened.get_study_user_attrs(opened.get_study_id_from_name(study))[DEFINITION_ATTRIBUTE]
        )
        loaded = optuna.load_study(
            study_name=study,
            storage=opened,
            sampler=optuna.samplers.RandomSampler(),
            pruner=build_pruner(definition.pruner),
        )
        self._trial = optuna.trial.Trial(loaded, trial_id)
        row = opened.get_trial(trial_id)
        self._reported = set(row.intermediate_values)
        self._unreported: dict[int, float] = {}
        # Repeats over seeds run to their end, or their spread would be that of runs of different length.
        self._may_prune = (
            definition.pruner["name"] != "none"
            and len(definition.objectives) == 1
            and int(row.user_attrs.get("seed", 0)) == 0
        )
        self._may_report = len(definition.objectives) == 1

    def report(self, value: float, step: int) -> bool:
        """Report the first objective.

        Args:
            value: Its value on validation data. A value that is not finite is not reported and never prunes.
            step: Optimizer steps done; reporting a step twice, as a resumed run may, changes nothing.

        Returns:
            Whether the trial should stop now, as pruned. All ranks must follow rank 0's answer. A storage that fails
            prunes nothing and stops nothing: the training goes on, and the value is reported with the next one.
        """
        if not self._may_report or not math.isfinite(value):
            return False
        if step not in self._reported:
            self._unreported[step] = value
        try:
            for missing in sorted(self._unreported):
                self._trial.report(self._unreported[missing], missing)
                self._reported.add(missing)
                del self._unreported[missing]
            return self._may_prune and self._trial.should_prune()
        except StorageError as error:
            print(f"step {step} is not reported yet: {error}", file=sys.stderr)  # noqa: T201 - the trial's log
            return False
