from pathlib import Path
from typing import Any

import lightning as L
import pytest

from callbacks.checkpoints import Checkpoints
from lightning_modules.checkpoint_io import read_checkpoint
from nines.errors import ConfigError
from nines.run_folder import RunFolder
from tests.fakes import ScriptedObjective, fit_scripted


def test_best_is_the_maximum_and_last_the_newest(tmp_path: Path) -> None:
    checkpoints = Checkpoints(monitor="valid/objective")
    fit_scripted(tmp_path, [checkpoints])
    folder = RunFolder(tmp_path)
    assert (checkpoints.best_value, checkpoints.best_step) == (pytest.approx(0.9), 16)
    assert read_checkpoint(folder.best)["global_step"] == 16
    assert read_checkpoint(folder.last)["global_step"] == 24


def test_a_minimized_objective_keeps_the_minimum(tmp_path: Path) -> None:
    checkpoints = Checkpoints(monitor="valid/objective", mode="min")
    fit_scripted(tmp_path, [checkpoints])
    assert checkpoints.best_step == 8


def test_the_last_checkpoint_remembers_the_best_value_of_its_own_validation(tmp_path: Path) -> None:
    fit_scripted(tmp_path, [Checkpoints(monitor="valid/objective")])
    state = read_checkpoint(RunFolder(tmp_path).last)["callbacks"]
    (ours,) = [value for key, value in state.items() if key.startswith("Checkpoints")]
    assert ours == {"best_value": pytest.approx(0.9), "best_step": 16}


def test_nan_never_becomes_the_best(tmp_path: Path) -> None:
    checkpoints = Checkpoints(monitor="valid/objective")
    fit_scripted(tmp_path, [checkpoints], ScriptedObjective([float("nan"), 0.1, float("nan")]))
    assert checkpoints.best_step == 16


def test_steps_are_saved_only_where_an_accumulation_window_ends(tmp_path: Path) -> None:
    saved: list[int] = []

    class Recording(Checkpoints):
        def save_last(self, trainer: L.Trainer) -> None:
            saved.append(trainer.fit_loop.total_batch_idx + 1)
            super().save_last(trainer)

    fit_scripted(
        tmp_path, [Recording(monitor="valid/objective", every_n_steps=1)], accumulate_grad_batches=3, max_epochs=1
    )
    # Batches 3 and 6 end windows; batch 8 ends the epoch and is saved after its validation.
    assert saved == [3, 6, 8]


def test_an_objective_that_is_not_logged_names_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="logged: valid/objective"):
        fit_scripted(tmp_path, [Checkpoints(monitor="valid/objectiv")])


@pytest.mark.parametrize("bad", [{"every_n_steps": 0}, {"every_n_minutes": -1.0}])
def test_impossible_intervals_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        Checkpoints(monitor="x", **bad)
