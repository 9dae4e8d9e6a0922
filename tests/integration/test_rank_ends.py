"""Two ranks of which one is told to stop, or whose run was taken over: they end together, or go on together."""

import os
import shutil
import signal
from pathlib import Path

import lightning as L
import pytest
from lightning.pytorch.utilities import rank_zero_only

from callbacks.interruption import Interrupted
from lightning_modules.checkpoint_io import read_checkpoint
from nines.errors import NinesError
from nines.run_folder import RunFolder, RunStatus
from nines.run_owner import TOKEN_VARIABLE, Superseded, take_over
from tests.distributed import run_ranks
from tests.integration.test_ranks import TWO_RANKS, train_on_two_ranks
from tests.trainings import assert_same_to_the_bit, contents, killing, train_small


class SignalToOneRank(L.Callback):
    """Sends a signal to the process of the second rank alone, at the end of the given batch of the run."""

    def __init__(self, *, number: int, batch: int) -> None:
        self.number = number
        self.batch = batch

    def on_train_batch_end(self, trainer: L.Trainer, *arguments: object) -> None:
        if trainer.global_rank == 1 and trainer.fit_loop.total_batch_idx + 1 == self.batch:
            os.kill(os.getpid(), self.number)


def signalling(number: int, batch: int) -> list[str]:
    name = f"{SignalToOneRank.__module__}.{SignalToOneRank.__name__}"
    return [
        f"+callbacks.signal._target_={name}",
        f"+callbacks.signal.number={number}",
        f"+callbacks.signal.batch={batch}",
    ]


def end_of(folder: Path, overrides: list[str], error: type[NinesError]) -> list[int]:
    """Train on two ranks that must all end by `error`: their exit codes."""

    def task(rank: int) -> int:
        rank_zero_only.rank = rank
        try:
            train_small(folder, [*TWO_RANKS, *overrides])
        except error as ended:
            return ended.exit_code
        return 99

    return run_ranks(task)


@pytest.mark.slow
def test_a_signal_to_one_rank_ends_both_at_one_step_from_which_they_resume_to_the_bit(tmp_path: Path) -> None:
    overrides = ["trainer.max_epochs=2", "callbacks.checkpoints.every_n_steps=null"]
    assert train_on_two_ranks(tmp_path / "whole", overrides) == [0, 0]
    stopped = [*overrides, *signalling(signal.SIGUSR1, 9)]
    # The rank that started first kills the other as soon as it ends with an error, as srun does.
    assert 130 in end_of(tmp_path / "part", stopped, Interrupted)
    status = RunStatus.read(RunFolder(tmp_path / "part"))
    assert status is not None
    assert (status.state, status.ranks) == ("interrupted", 2)
    assert read_checkpoint(RunFolder(tmp_path / "part").last)["global_step"] == 9
    assert train_on_two_ranks(tmp_path / "part", overrides) == [0, 0]
    assert_same_to_the_bit(tmp_path / "whole", tmp_path / "part")


@pytest.mark.slow
def test_a_sigterm_to_one_rank_of_a_job_step_is_a_checkpoint_and_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NINES_SIGTERM", "save")
    overrides = ["trainer.max_epochs=2", "callbacks.checkpoints.every_n_steps=null"]
    codes = train_on_two_ranks(tmp_path, [*overrides, *signalling(signal.SIGTERM, 9), *killing(10)])
    assert codes == [-signal.SIGKILL] * 2
    assert read_checkpoint(RunFolder(tmp_path).last)["global_step"] == 9


class TakeOver(L.Callback):
    """Another process takes the run over at the given batch, and what the folder then holds is kept beside it."""

    def __init__(self, *, batch: int) -> None:
        self.batch = batch

    def on_train_batch_start(self, trainer: L.Trainer, *arguments: object) -> None:
        if trainer.is_global_zero and trainer.fit_loop.total_batch_idx + 1 == self.batch:
            folder = Path(trainer.default_root_dir)
            take_over(folder)
            shutil.copytree(folder, folder.with_name("then"))


@pytest.mark.slow
def test_both_ranks_of_a_run_that_was_taken_over_leave_it_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, take_over(tmp_path / "run"))
    taking = [
        f"+callbacks.taking._target_={TakeOver.__module__}.{TakeOver.__name__}",
        "+callbacks.taking.batch=9",
    ]
    assert 1 in end_of(tmp_path / "run", ["trainer.max_epochs=2", *taking], Superseded)
    then = {path.relative_to(tmp_path / "then"): held for path, held in contents(tmp_path / "then").items()}
    assert {path.name for path in then} >= {"status.json", "last.ckpt", "best.ckpt"}
    assert {path.relative_to(tmp_path / "run"): held for path, held in contents(tmp_path / "run").items()} == then
