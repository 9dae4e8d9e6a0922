from pathlib import Path
from typing import Any

import lightning as L
import pytest
from lightning.pytorch.demos.boring_classes import RandomDataset
from torch.utils.data import DataLoader

from callbacks.checkpoints import Checkpoints
from callbacks.interruption import Interruption
from callbacks.ownership import Ownership
from callbacks.run_status import RunStatusWriter
from nines import stop_requests
from nines.run_owner import TOKEN_VARIABLE, Superseded, take_over
from tests.fakes import ScriptedObjective, fit_scripted
from tests.trainings import contents


class Writer(L.Callback):
    """Stands for any callback that writes figures after a validation."""

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        (Path(trainer.default_root_dir) / "figures").write_text(str(trainer.global_step))


class TakenOver(L.Callback):
    """Another process takes the folder over at the given step, and what it then holds is remembered."""

    def __init__(self, hook: str, step: int) -> None:
        self.seen: dict[Path, bytes] = {}

        def act(trainer: L.Trainer, *arguments: Any, **options: Any) -> None:
            if trainer.global_step == step and not self.seen:
                folder = Path(trainer.default_root_dir)
                take_over(folder)
                self.seen = contents(folder)

        setattr(self, hook, act)


@pytest.mark.parametrize("hook", ["on_train_batch_start", "on_validation_start"])
def test_a_run_that_lost_its_folder_ends_and_writes_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hook: str
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, take_over(tmp_path))
    checkpoints = Checkpoints(monitor="valid/objective", every_n_steps=1)
    lost = TakenOver(hook, 16)
    callbacks = [
        Ownership(interval=0.0),
        Writer(),
        lost,
        RunStatusWriter(monitor="valid/objective", interval=0.0),
        checkpoints,
        Interruption(checkpoints=checkpoints),
    ]
    with stop_requests.listening(), pytest.raises(Superseded):
        fit_scripted(tmp_path, callbacks)
    assert {path.name for path in lost.seen} >= {"owner.json", "figures", "status.json", "last.ckpt", "best.ckpt"}
    assert contents(tmp_path) == lost.seen


def test_a_checkpoint_is_not_written_even_if_nobody_has_looked_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, take_over(tmp_path))
    lost = TakenOver("on_train_batch_start", 5)
    with pytest.raises(Superseded):
        fit_scripted(tmp_path, [lost, Checkpoints(monitor="valid/objective", every_n_steps=1)])
    assert contents(tmp_path) == lost.seen


def test_a_validation_does_not_begin_in_a_folder_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, take_over(tmp_path))
    module = ScriptedObjective([0.5] * 4)
    trainer = fit_scripted(tmp_path, [Ownership(), Checkpoints(monitor="valid/objective")], module)
    take_over(tmp_path)
    with pytest.raises(Superseded):
        trainer.validate(module, DataLoader(RandomDataset(32, 2)), verbose=False)
    assert module.validations == 3


def test_an_owner_trains_undisturbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, take_over(tmp_path))
    trainer = fit_scripted(tmp_path, [Ownership(interval=0.0), Checkpoints(monitor="valid/objective", every_n_steps=1)])
    assert trainer.global_step == 24
