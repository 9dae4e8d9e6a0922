"""Two ranks on one machine: the same figures as one process, resumable to the bit, one writer."""

import os
import resource
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch.utilities import rank_zero_only

from nines.files import read_json
from nines.run_folder import RunFolder, RunStatus
from tests.distributed import run_ranks
from tests.lightning_modules.small_classifier import tiny_classifier, tiny_data, tiny_trainer
from tests.trainings import assert_same_to_the_bit, killing, train_small, weights

TWO_RANKS = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.precision=32-true", "trainer.enable_progress_bar=false"]


def train_on_two_ranks(folder: Path, overrides: list[str]) -> list[int]:
    def task(rank: int) -> None:
        rank_zero_only.rank = rank  # a fresh process reads it from the environment while it imports Lightning
        train_small(folder, [*TWO_RANKS, *overrides])

    return run_ranks(task)


def evaluate_and_keep(folder: Path, *, ranks: int, rank: int) -> None:
    """Validate and test the same weights, and keep scores and metrics of this rank."""
    rank_zero_only.rank = rank
    torch.set_num_threads(1)
    module, data = tiny_classifier(seed=5), tiny_data(rows=41, evaluation_batch_size=8)
    trainer = tiny_trainer(folder, devices=ranks, strategy="ddp" if ranks > 1 else "auto")
    figures = dict(trainer.validate(module, datamodule=data, verbose=False)[0])
    trainer.test(module, datamodule=data, verbose=False)
    figures |= {name: float(value) for name, value in trainer.callback_metrics.items()}
    scores = {split: module.gathered_scores(split) for split in ("valid", *data.splits("test"))}
    np.savez(folder / f"{ranks}_{rank}.npz", figures=[figures[name] for name in sorted(figures)], **scores)


def test_scores_and_metrics_on_every_rank_equal_those_of_one_process(tmp_path: Path) -> None:
    """41 rows in batches of 8 over 2 ranks: neither the batches nor the ranks' shares are even."""
    evaluate_and_keep(tmp_path, ranks=1, rank=0)
    assert run_ranks(lambda rank: evaluate_and_keep(tmp_path, ranks=2, rank=rank)) == [0, 0]
    alone = np.load(tmp_path / "1_0.npz")
    assert len(alone["valid"]) == 41
    for rank in (0, 1):
        found = np.load(tmp_path / f"2_{rank}.npz")
        assert set(found.files) == set(alone.files) >= {"valid", "test", "adversarial", "minimal_pairs", "figures"}
        for name in alone.files:
            np.testing.assert_allclose(found[name], alone[name], atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["module.model.freeze_layers=1", "trainer.accumulate_grad_batches=2"],
        ["dropout=r_drop", "imbalance=oversampling", "datamodule.mixture=4"],
    ],
    ids=["plain", "frozen_and_accumulated", "r_drop_and_oversampling"],
)
def test_ranks_killed_mid_epoch_resume_to_the_same_weights(tmp_path: Path, options: list[str]) -> None:
    overrides = ["trainer.max_epochs=2", "test=true", *options]
    assert train_on_two_ranks(tmp_path / "whole", overrides) == [0, 0]
    codes = train_on_two_ranks(tmp_path / "killed", [*overrides, *killing(9)])
    assert codes == [-signal.SIGKILL] * 2
    killed = RunStatus.read(RunFolder(tmp_path / "killed"))
    assert killed is not None
    assert killed.state == "running"
    assert train_on_two_ranks(tmp_path / "killed", overrides) == [0, 0]
    assert_same_to_the_bit(tmp_path / "whole", tmp_path / "killed")
    metrics = [read_json(RunFolder(tmp_path / name).metrics) for name in ("whole", "killed")]
    assert metrics[0] == metrics[1]


def test_only_the_first_rank_writes_files(tmp_path: Path) -> None:
    """The kernel refuses the second rank every write to a file; caches are there from a run before."""
    overrides = ["trainer.max_epochs=1", "test=true", "callbacks=default", "logger=tensorboard"]
    train_small(tmp_path / "before", overrides)

    def task(rank: int) -> None:
        rank_zero_only.rank = rank
        if rank == 1:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for stream in (1, 2):  # pytest captures into files
                os.dup2(nowhere, stream)
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
            with pytest.raises(OSError, match="File too large"):
                (tmp_path / "proof").write_text("the limit holds")
        train_small(tmp_path / "run", [*TWO_RANKS, *overrides])

    assert run_ranks(task) == [0, 0]
    written = {path.name for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert written >= {"config.yaml", "status.json", "metrics.json", "threshold.json", "last.ckpt", "test_roc.png"}


def test_two_ranks_take_the_steps_of_one_process_with_twice_the_batch(tmp_path: Path) -> None:
    """Without dropout, over equal shares: the mean gradient of both halves is that of the whole batch."""
    plain = ["dropout=none", "trainer.max_epochs=1", "datamodule.bucket_steps=1", "datamodule.drop_last=true"]
    assert train_on_two_ranks(tmp_path / "two", [*plain, "datamodule.batch_size=8"]) == [0, 0]
    train_small(tmp_path / "one", [*plain, "datamodule.batch_size=16"])
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert one.keys() == two.keys()
    for name in one:
        if name.startswith("state.model."):
            torch.testing.assert_close(two[name], one[name], atol=2e-5, rtol=1e-3, msg=name)


@pytest.mark.parametrize("failing", [0, 1])
def test_a_rank_that_fails_does_not_leave_the_other_waiting(failing: int) -> None:
    started = time.monotonic()
    codes = run_ranks(lambda rank: 3 if rank == failing else time.sleep(60))
    assert codes[failing] == 3
    assert codes[1 - failing] == -signal.SIGKILL
    assert time.monotonic() - started < 30


@pytest.mark.slow
def test_threshold_and_figures_of_the_same_weights_equal_those_of_one_process(tmp_path: Path) -> None:
    """Two ranks take up a run that one process has trained, so that only validation and test are left to do.

    97 rows with selection weights, in batches of 8: uneven on two ranks, and no row may count twice.
    """
    overrides = ["trainer.max_epochs=1", "test=true", "callbacks=default", "datamodule.limit_rows=97"]
    train_small(tmp_path / "one", overrides)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    before = [RunFolder(tmp_path / "two").metrics, RunFolder(tmp_path / "two").threshold]
    for path in before:
        path.unlink()
    assert train_on_two_ranks(tmp_path / "two", overrides) == [0, 0]
    one, two = ([read_json(path) for path in files(RunFolder(tmp_path / name))] for name in ("one", "two"))
    assert {name for name in one[0]["metrics"] if name.endswith("/fnr")}
    assert_nearly_equal(two, one)


def files(folder: RunFolder) -> tuple[Path, Path]:
    return folder.metrics, folder.threshold


def assert_nearly_equal(found: object, expected: object, where: str = "") -> None:
    """Equal, numbers up to what another order of additions changes."""
    if isinstance(expected, dict):
        assert isinstance(found, dict), where
        assert found.keys() == expected.keys(), where
        for key, value in expected.items():
            assert_nearly_equal(found[key], value, f"{where}/{key}")
    elif isinstance(expected, list):
        assert isinstance(found, list), where
        assert len(found) == len(expected), where
        for index, value in enumerate(expected):
            assert_nearly_equal(found[index], value, f"{where}/{index}")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=1e-6, rel=1e-6, nan_ok=True), where
    else:
        assert found == expected, where
