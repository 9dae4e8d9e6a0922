"""A real Lightning trainer, stopped anywhere and resumed, sees the rows that an uninterrupted one sees."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback

from datamodules.loader import BatchLoader, EvaluationLoader
from datamodules.order import EvaluationOrder, TrainingOrder

EPOCHS = 3
ROWS = 42
BATCH_SIZE = 4
STEPS = 11  # ceil(42 / 4): odd, so that accumulation over 2 batches is cut at the epoch's end


class Stopped(Exception):
    """The process was killed here."""


class Recorder(L.LightningModule):
    """Trains one weight and writes down which rows came, in which epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: list[tuple[int, tuple[int, ...]]] = []
        self.validated = 0

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        self.seen.append((self.current_epoch, tuple(batch["row"].tolist())))
        return (self.weight - batch["row"].float().mean()).square().sum()

    def validation_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> None:
        self.validated += len(batch["row"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01, momentum=0.9)


class StopAt(Callback):
    """Saves a checkpoint in one hook, once `batches` batches have been trained on, and stops the process."""

    def __init__(self, hook: str, batches: int, path: Path) -> None:
        self.hook, self.batches, self.path = hook, batches, path

    def _maybe(self, hook: str, trainer: L.Trainer, module: Any) -> None:
        if hook == self.hook and not trainer.sanity_checking and len(module.seen) == self.batches:
            trainer.save_checkpoint(self.path)
            raise Stopped

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        self._maybe("on_train_batch_end", trainer, pl_module)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._maybe("on_validation_end", trainer, pl_module)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._maybe("on_train_epoch_end", trainer, pl_module)


def collate(rows: np.ndarray) -> dict[str, torch.Tensor]:
    return {"row": torch.from_numpy(rows)}


def loaders() -> tuple[BatchLoader, EvaluationLoader]:
    lengths = np.random.default_rng(0).integers(5, 60, ROWS)
    training = TrainingOrder(lengths, draw=lambda epoch: np.arange(ROWS), batch_size=BATCH_SIZE, bucket_steps=3)
    return BatchLoader(collate, training), EvaluationLoader(collate, EvaluationOrder(lengths, 8))


def fit(folder: Path, *callbacks: Callback, resume: Path | None = None) -> Recorder:
    module = Recorder()
    trainer = L.Trainer(
        default_root_dir=folder, max_epochs=EPOCHS, accelerator="cpu", logger=False, callbacks=list(callbacks),
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        val_check_interval=0.5, accumulate_grad_batches=2,
    )  # fmt: skip
    training, validation = loaders()
    with contextlib.suppress(Stopped):
        trainer.fit(module, training, validation, ckpt_path=resume, weights_only=False)
    return module


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Recorder:
    return fit(tmp_path_factory.mktemp("uninterrupted"))


def test_an_epoch_has_every_row_once_and_each_epoch_another_order(uninterrupted: Recorder) -> None:
    assert len(uninterrupted.seen) == EPOCHS * STEPS
    for epoch in range(EPOCHS):
        rows = [row for of, batch in uninterrupted.seen if of == epoch for row in batch]
        assert sorted(rows) == list(range(ROWS))
    orders = {tuple(batch for of, batch in uninterrupted.seen if of == epoch) for epoch in range(EPOCHS)}
    assert len(orders) == EPOCHS


@pytest.mark.parametrize(
    ("hook", "batches"),
    [
        ("on_train_batch_end", 1),
        ("on_train_batch_end", 3),  # in the middle of an accumulation
        ("on_train_batch_end", 4),
        ("on_train_batch_end", STEPS),  # the epoch's last batch, before its validation
        ("on_train_batch_end", STEPS + 1),
        ("on_train_batch_end", 2 * STEPS + 6),
        ("on_validation_end", 5),  # val_check_interval 0.5 of 11 batches
        ("on_validation_end", STEPS - 1),
        ("on_validation_end", STEPS + 5),
        ("on_train_epoch_end", STEPS),
        ("on_train_epoch_end", 2 * STEPS),
    ],
)
def test_stopped_and_resumed_sees_the_rows_that_an_uninterrupted_run_sees(
    hook: str, batches: int, tmp_path: Path, uninterrupted: Recorder
) -> None:
    checkpoint = tmp_path / "stopped.ckpt"
    first = fit(tmp_path, StopAt(hook, batches, checkpoint))
    assert len(first.seen) == batches, "the run was not stopped where the test wants it"
    second = fit(tmp_path, resume=checkpoint)
    assert first.seen + second.seen == uninterrupted.seen


def test_stopped_twice_in_one_epoch_still_sees_the_same_rows(tmp_path: Path, uninterrupted: Recorder) -> None:
    one, two = tmp_path / "one.ckpt", tmp_path / "two.ckpt"
    first = fit(tmp_path, StopAt("on_train_batch_end", STEPS + 2, one))
    second = fit(tmp_path, StopAt("on_train_batch_end", 4, two), resume=one)
    third = fit(tmp_path, resume=two)
    assert len(first.seen) == STEPS + 2
    assert len(second.seen) == 4
    assert first.seen + second.seen + third.seen == uninterrupted.seen


def test_a_finished_run_that_is_given_more_epochs_goes_on_with_the_next(
    tmp_path: Path, uninterrupted: Recorder
) -> None:
    class SaveAtEnd(Callback):
        def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            trainer.save_checkpoint(tmp_path / "end.ckpt")

    module = Recorder()
    training, validation = loaders()
    settings: dict[str, Any] = {
        "accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
        "enable_model_summary": False, "default_root_dir": tmp_path,
    }  # fmt: skip
    L.Trainer(max_epochs=2, callbacks=[SaveAtEnd()], **settings).fit(module, training, validation)
    more = Recorder()
    training, validation = loaders()
    L.Trainer(max_epochs=3, **settings).fit(
        more, training, validation, ckpt_path=tmp_path / "end.ckpt", weights_only=False
    )
    assert module.seen + more.seen == uninterrupted.seen
