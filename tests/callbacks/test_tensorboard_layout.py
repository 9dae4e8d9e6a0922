"""The layout lands in the event file and its patterns match the tags that the project logs."""

import re
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from torch.utils.data import DataLoader, TensorDataset

from callbacks.tensorboard_layout import TensorBoardLayout, custom_scalars_layout


class OneWeight(LightningModule):
    """The smallest module that a trainer fits."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch: list[torch.Tensor], batch_index: int) -> torch.Tensor:
        return self.layer(batch[0]).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def train_dataloader(self) -> DataLoader:
        return DataLoader(TensorDataset(torch.randn(4, 2)), batch_size=2)


def fit(folder: Path, *callbacks: Callback) -> TensorBoardLogger:
    board = TensorBoardLogger(str(folder), name="", version="", default_hp_metric=False)
    trainer = Trainer(
        default_root_dir=str(folder), max_epochs=1, accelerator="cpu", logger=[CSVLogger(str(folder)), board],
        callbacks=list(callbacks), enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    trainer.fit(OneWeight())
    return board


def test_the_event_file_of_a_run_carries_the_layout(tmp_path: Path) -> None:
    board = fit(tmp_path, TensorBoardLayout(objective="valid/log_loss", populations=("natural",)))
    accumulator = EventAccumulator(board.log_dir)
    accumulator.Reload()
    content = accumulator.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0]
    layout = layout_pb2.Layout.FromString(content)
    charts = {category.title: [chart.title for chart in category.chart] for category in layout.category}
    assert list(charts) == ["Objective and loss", "Misses at the threshold", "Gradients", "Learning rate"]
    assert charts["Objective and loss"][0] == "Objective: valid/log_loss"
    assert charts["Misses at the threshold"] == ["False negative rate, natural: estimate and upper bound"]
    assert list(layout.category[1].chart[0].multiline.tag) == [
        r"(valid|test)/natural/fnr(_unsure_as_injurious)?(_upper)?$"
    ]


def tags_shown(tags: list[str]) -> dict[str, list[str]]:
    """What TensorBoard does with the patterns: `re.match`, so anchored at the start only."""
    charts = {title: chart[1] for charts in custom_scalars_layout().values() for title, chart in charts.items()}
    return {
        title: [tag for tag in tags if any(re.match(pattern, tag) for pattern in patterns)]
        for title, patterns in charts.items()
    }


@pytest.mark.parametrize(
    ("chart", "shown"),
    [
        ("Objective: valid/partial_auc", ["valid/partial_auc"]),
        ("False negative rate, natural: estimate and upper bound", ["valid/natural/fnr", "valid/natural/fnr_upper"]),
        ("False negative rate, all: estimate and upper bound", ["test/all/fnr_unsure_as_injurious_upper"]),
        ("Share clipped: of the gradient, and of the steps", ["gradients/clipped_share", "gradients/clipped_steps"]),
        ("Gradient norm before clipping", ["gradients/norm", "gradients/max"]),
        ("Learning rate", ["lr-AdamW", "lr-AdamW/pg1"]),
        ("Loss: training and validation", ["train/loss_step", "valid/log_loss"]),
    ],
)
def test_a_chart_shows_its_tags_and_no_others(chart: str, shown: list[str]) -> None:
    tags = [
        "gradients/clipped_share", "gradients/clipped_steps", "gradients/norm", "gradients/max", "gradients/layers/00",
        "valid/natural/fnr_effective_items",
        "valid/partial_auc", "valid/natural/partial_auc", "valid/natural/fnr", "valid/natural/fnr_upper",
        "valid/natural/fnr_lower", "test/all/fnr_unsure_as_injurious_upper", "valid/all/fpr",
        "lr-AdamW", "lr-AdamW/pg1",
        "train/loss_step", "valid/log_loss", "valid/natural/log_loss",
    ]  # fmt: skip
    assert tags_shown(tags)[chart] == shown


def test_a_trainer_without_tensorboard_is_left_alone(tmp_path: Path) -> None:
    trainer = Trainer(
        default_root_dir=str(tmp_path), max_epochs=1, accelerator="cpu", logger=False, callbacks=[TensorBoardLayout()],
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    trainer.fit(OneWeight())
    assert list(tmp_path.iterdir()) == []
