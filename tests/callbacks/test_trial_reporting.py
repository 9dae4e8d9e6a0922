from pathlib import Path

import pytest

from callbacks.checkpoints import Checkpoints
from callbacks.trial_reporting import Pruned, TrialReporting
from lightning_modules.checkpoint_io import read_checkpoint
from nines.run_folder import RunFolder
from tests.fakes import fit_scripted


class PruneAt:
    """A sweep that prunes at a given step."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.reported: dict[int, float] = {}

    def report(self, value: float, step: int) -> bool:
        self.reported[step] = value
        return step >= self.step


def test_a_pruned_trial_stops_after_its_checkpoints_are_written(tmp_path: Path) -> None:
    reporter = PruneAt(16)
    callbacks = [TrialReporting(reporter=reporter, monitor="valid/objective"), Checkpoints(monitor="valid/objective")]
    with pytest.raises(Pruned, match="step 16"):
        fit_scripted(tmp_path, list(reversed(callbacks)))
    assert reporter.reported == {8: pytest.approx(0.5), 16: pytest.approx(0.9)}
    assert read_checkpoint(RunFolder(tmp_path).best)["global_step"] == 16


def test_a_trial_that_has_done_all_its_steps_is_never_pruned(tmp_path: Path) -> None:
    reporter = PruneAt(24)
    fit_scripted(
        tmp_path,
        [TrialReporting(reporter=reporter, monitor="valid/objective"), Checkpoints(monitor="valid/objective")],
    )
    assert reporter.reported[24] == pytest.approx(0.7)
