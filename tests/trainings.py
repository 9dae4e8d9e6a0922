"""Small real trainings for tests: seconds each, in this process or in a forked one that may be killed."""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch

from lightning_modules.checkpoint_io import read_checkpoint
from nines.files import read_json
from nines.run_folder import RunFolder

SMALL = (
    "model=tiny",
    "trainer=cpu",
    "trainer.precision=32-true",
    "trainer.enable_progress_bar=false",
    "datamodule.limit_rows=96",
    "datamodule.batch_size=8",
    "dropout=hidden",
    "clipping=quantile",
    "callbacks=minimal",
    "callbacks.checkpoints.every_n_steps=1",
    "logger=none",
    "test=false",
    "threads=1",
)


class KillAt(L.Callback):
    """Kills its own process with SIGKILL at the end of the given batch, counted over the whole run."""

    def __init__(self, *, batch: int) -> None:
        self.batch = batch

    def on_train_batch_end(self, trainer: L.Trainer, *arguments: Any) -> None:
        if trainer.fit_loop.total_batch_idx + 1 == self.batch:
            os.kill(os.getpid(), signal.SIGKILL)


def killing(batch: int) -> list[str]:
    """Overrides that kill the run at the end of the given batch."""
    return ["+callbacks.kill._target_=tests.trainings.KillAt", f"+callbacks.kill.batch={batch}"]


def train_small(folder: Path, overrides: Sequence[str] = ()) -> dict[str, float]:
    """Train in this process; the final metrics."""
    from apps.config import compose
    from apps.training import train

    whole = [*SMALL, *overrides]
    return train(compose("train", whole), folder=RunFolder(folder), overrides=whole)


def fork(task: Callable[[], int | None], environment: Mapping[str, str] = {}) -> int:
    """Start `task` in a forked process and return its id; its exit code is what `task` returns, None being 0."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    code: int | None = 1
    try:
        os.environ.update(environment)
        code = task() or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait_for(child: int) -> int:
    """The exit code of a forked process, or minus the signal that killed it."""
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def run_in_child(folder: Path, overrides: Sequence[str] = ()) -> int:
    """Train in a forked process; its exit code, or minus the signal that killed it."""
    return wait_for(fork(lambda: bool(train_small(folder, overrides) is None)))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Parameters, buffers and the optimizer's moments of the newest checkpoint of a run."""
    checkpoint = read_checkpoint(RunFolder(folder).last)
    state = {f"state.{name}": value for name, value in checkpoint["state_dict"].items()}
    for index, moments in checkpoint["optimizer_states"][0]["state"].items():
        state |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in moments.items()}
    return state


def assert_same_to_the_bit(folder: Path, other: Path) -> None:
    """Both runs ended with the same weights and the same state of the optimizer."""
    expected, found = weights(folder), weights(other)
    assert expected.keys() == found.keys()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []


def metrics_of(folder: Path) -> dict[str, float]:
    """The final metrics of a run, without those that have no value."""
    metrics: dict[str, float] = read_json(RunFolder(folder).metrics)["metrics"]
    return {name: value for name, value in metrics.items() if value == value}


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file below `folder`."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
