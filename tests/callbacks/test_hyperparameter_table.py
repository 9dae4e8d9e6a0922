"""The record that TensorBoard's HParams page reads: written once, with the final figures, for any mix of runs."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing import data_provider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.backend_context import Context
from torch.utils.data import DataLoader, TensorDataset

from callbacks.hyperparameter_table import HyperparameterTable, flatten_scalars, write_record
from nines.files import write_json

PARAMETERS = {"optimizer": {"lr": 0.01, "betas": [0.9, 0.999]}, "imbalance": "focal", "freeze": True, "resume": None}


class Figures(LightningModule):
    """Logs known figures in fitting and testing; fails in fitting when told to."""

    def __init__(self, *, fails: bool = False) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
        self.fails = fails

    def training_step(self, batch: list[torch.Tensor], batch_index: int) -> torch.Tensor:
        if self.fails:
            raise RuntimeError("planted")
        self.log("train/loss", 0.3)
        return self.layer(batch[0]).square().mean()

    def validation_step(self, batch: list[torch.Tensor], batch_index: int) -> None:
        self.log("valid/partial_auc", 0.75)

    def test_step(self, batch: list[torch.Tensor], batch_index: int) -> None:
        self.log("test/natural/fnr", 0.125)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def loader(self) -> DataLoader:
        return DataLoader(TensorDataset(torch.randn(4, 2)), batch_size=2)

    train_dataloader = val_dataloader = test_dataloader = loader


def trainer_in(folder: Path) -> Trainer:
    return Trainer(
        default_root_dir=str(folder), max_epochs=1, accelerator="cpu", enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, callbacks=[HyperparameterTable(PARAMETERS)],
        logger=TensorBoardLogger(str(folder), name="tensorboard", version="", default_hp_metric=False),
    )  # fmt: skip


def read_record(folder: Path) -> SimpleNamespace:
    files = list(folder.glob("events.out.tfevents.*"))
    assert len(files) == 1, "a run has exactly one record"
    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    tags = accumulator.Tags()
    start = metadata.parse_session_start_info_plugin_data(
        accumulator.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    )
    return SimpleNamespace(
        parameters={
            name: getattr(value, value.WhichOneof("kind")) for name, value in start.hparams.items()
        },
        metrics={tag: accumulator.Scalars(tag)[-1].value for tag in tags["scalars"]},
        steps={event.step for tag in tags["scalars"] for event in accumulator.Scalars(tag)},
        plugin_tags=set(accumulator.PluginTagToContent(metadata.PLUGIN_NAME)),
    )  # fmt: skip


def test_nested_parameters_become_dotted_names_and_only_scalars_stay() -> None:
    assert flatten_scalars(PARAMETERS) == {"optimizer.lr": 0.01, "imbalance": "focal", "freeze": True}


def test_fit_and_test_leave_one_record_with_the_figures_of_both(tmp_path: Path) -> None:
    module, trainer = Figures(), trainer_in(tmp_path)
    trainer.fit(module)
    trainer.test(module, verbose=False)
    record = read_record(tmp_path / "tensorboard" / "final")
    assert record.parameters == {"optimizer.lr": 0.01, "imbalance": "focal", "freeze": True}
    assert record.metrics == {"valid/partial_auc": 0.75, "test/natural/fnr": 0.125}
    assert record.steps == {2}


def test_fit_alone_leaves_a_record_too(tmp_path: Path) -> None:
    trainer_in(tmp_path).fit(Figures())
    assert read_record(tmp_path / "tensorboard" / "final").metrics == {"valid/partial_auc": 0.75}


def test_the_metrics_file_of_the_run_takes_precedence(tmp_path: Path) -> None:
    write_json(tmp_path / "metrics.json", {"metrics": {"valid/partial_auc": 0.875, "valid/note": "text"}})
    trainer_in(tmp_path).fit(Figures())
    assert read_record(tmp_path / "tensorboard" / "final").metrics == {"valid/partial_auc": 0.875}


def test_a_run_that_raises_leaves_no_record(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="planted"):
        trainer_in(tmp_path).fit(Figures(fails=True))
    assert not (tmp_path / "tensorboard" / "final").exists()


def test_figures_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    written = write_record(tmp_path, {"lr": 1.0}, metrics={"valid/auroc": math.nan, "valid/log_loss": 0.5}, step=7)
    assert written == {"valid/log_loss": 0.5}
    assert read_record(tmp_path).metrics == {"valid/log_loss": 0.5}


def test_the_table_shows_parameters_that_only_some_runs_have(tmp_path: Path) -> None:
    write_record(tmp_path / "0/final", {"loss": "none", "lr": 0.1}, metrics={"valid/auroc": 0.5}, step=1)
    write_record(tmp_path / "1/final", {"loss": "focal", "lr": 0.2, "gamma": 2.0}, metrics={"valid/auroc": 0.6}, step=1)
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(tmp_path))
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, str(tmp_path))
    context = Context(TBContext(logdir=str(tmp_path), multiplexer=multiplexer, data_provider=provider))
    request = RequestContext()
    found = context.experiment_from_metadata(
        request, "", include_metrics=True, hparams_run_to_tag_to_content=context.hparams_metadata(request, ""),
        data_provider_hparams=[],
    )  # fmt: skip
    assert {info.name for info in found.hparam_infos} == {"loss", "lr", "gamma"}
    assert [info.name.tag for info in found.metric_infos] == ["valid/auroc"]
