import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning as L
import pytest
from lightning.pytorch.demos.boring_classes import RandomDataset
from torch.utils.data import DataLoader

from callbacks.checkpoints import Checkpoints
from callbacks.interruption import Interrupted, Interruption
from lightning_modules.checkpoint_io import read_checkpoint
from nines import stop_requests
from nines.run_folder import RunFolder
from nines.stop_requests import SIGTERM_VARIABLE
from tests.fakes import ScriptedObjective, fit_scripted


@pytest.fixture(autouse=True)
def _listening() -> Iterator[None]:
    with stop_requests.listening():
        yield


class SignalAt(L.Callback):
    """Sends a signal to its own process in the given hook, once, when `when` says so."""

    def __init__(self, number: int, hook: str, when: Callable[[L.Trainer], bool] = lambda trainer: True) -> None:
        self.sent = False

        def send(trainer: L.Trainer, *arguments: Any, **options: Any) -> None:
            if not self.sent and when(trainer):
                self.sent = True
                os.kill(os.getpid(), number)

        setattr(self, hook, send)


def at_step(step: int) -> Callable[[L.Trainer], bool]:
    return lambda trainer: trainer.global_step == step


def stoppable() -> list[L.Callback]:
    checkpoints = Checkpoints(monitor="valid/objective", every_n_minutes=None)
    return [checkpoints, Interruption(checkpoints=checkpoints)]


def saved_step(folder: Path) -> int:
    return int(read_checkpoint(RunFolder(folder).last)["global_step"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_stops_the_run_at_a_checkpoint_of_that_very_step(tmp_path: Path, number: int) -> None:
    kill = SignalAt(number, "on_train_batch_start", at_step(10))
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match=f"{signal.Signals(number).name} at step 11"):
        fit_scripted(tmp_path, [kill, *stoppable()])
    assert saved_step(tmp_path) == 11
    assert signal.getsignal(number) == before


def test_a_sigterm_inside_a_job_step_is_a_checkpoint_each_time_and_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    saved: list[int] = []

    class Watch(L.Callback):
        def on_train_batch_start(self, trainer: L.Trainer, *arguments: Any) -> None:
            if trainer.global_step in (2, 5):
                os.kill(os.getpid(), signal.SIGTERM)
            if RunFolder(tmp_path).last.exists():
                saved.append(saved_step(tmp_path))

    trainer = fit_scripted(tmp_path, [Watch(), *stoppable()])
    assert trainer.global_step == 24
    assert sorted(set(saved)) == [3, 6, 8, 16]
    assert stop_requests.received() is None


def test_a_sigterm_in_a_job_step_ends_the_run_where_its_variable_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    monkeypatch.setenv(SIGTERM_VARIABLE, "end")
    with pytest.raises(Interrupted, match="SIGTERM at step 3"):
        fit_scripted(tmp_path, [SignalAt(signal.SIGTERM, "on_train_batch_start", at_step(2)), *stoppable()])


def test_a_signal_before_a_validation_waits_for_it(tmp_path: Path) -> None:
    kill = SignalAt(signal.SIGINT, "on_train_batch_start", at_step(7))
    module = ScriptedObjective([0.5, 0.6, 0.7])
    with pytest.raises(Interrupted, match="step 8"):
        fit_scripted(tmp_path, [kill, *stoppable()], module)
    assert module.validations == 1
    assert saved_step(tmp_path) == 8


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize("hook", ["setup", "on_fit_start", "on_train_start"])
def test_a_signal_before_the_first_step_stops_the_run_before_it(tmp_path: Path, hook: str, number: int) -> None:
    with pytest.raises(Interrupted, match="at step 0"):
        fit_scripted(tmp_path, [SignalAt(number, hook), *stoppable()])
    assert not RunFolder(tmp_path).last.exists()


@pytest.fixture
def _second_thread(request: pytest.FixtureRequest) -> Iterator[None]:
    """The kernel gives a signal to any thread that does not block it."""
    if not request.param:
        yield
        return
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    yield
    done.set()
    thread.join()


@pytest.mark.parametrize("_second_thread", [False, True], indirect=True, ids=["one thread", "two threads"])
@pytest.mark.usefixtures("_second_thread")
def test_a_signal_while_lightnings_own_handler_stands_in_is_not_lost(tmp_path: Path) -> None:
    """Lightning installs it between `on_fit_start` and the loop, which first asks for the training data's length."""

    class Data(RandomDataset):
        def __len__(self) -> int:
            if signal.getsignal(signal.SIGTERM) is not ours and not sent:
                sent.append(True)
                os.kill(os.getpid(), signal.SIGTERM)
            return super().__len__()

    ours, sent = signal.getsignal(signal.SIGTERM), list[bool]()
    trainer = L.Trainer(
        default_root_dir=str(tmp_path),
        accelerator="cpu",
        callbacks=stoppable(),
        max_epochs=1,
        num_sanity_val_steps=0,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with pytest.raises(Interrupted, match="SIGTERM at step 0"):
        trainer.fit(ScriptedObjective([0.5, 0.5]), DataLoader(Data(32, 8)), DataLoader(RandomDataset(32, 2)))
    assert sent
    assert not trainer.received_sigterm  # which Lightning's own part sets
    assert signal.getsignal(signal.SIGTERM) is ours


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_stops_the_validation_after_the_fit_at_its_next_batch(tmp_path: Path, number: int) -> None:
    kill = SignalAt(number, "on_validation_batch_start", lambda trainer: trainer.state.fn == "validate")
    module = ScriptedObjective([0.5, 0.6, 0.7, 0.8])
    trainer = fit_scripted(tmp_path, [kill, *stoppable()], module)
    with pytest.raises(Interrupted, match="at step 24"):
        trainer.validate(module, DataLoader(RandomDataset(32, 2)), verbose=False)
    assert module.validations == 3
    assert saved_step(tmp_path) == 24


def test_the_last_of_max_steps_inside_an_epoch_is_saved_so_that_a_stop_after_it_loses_nothing(tmp_path: Path) -> None:
    fit_scripted(tmp_path, stoppable(), max_epochs=-1, max_steps=11)
    assert saved_step(tmp_path) == 11
