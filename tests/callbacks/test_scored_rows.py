import lightning as L
import numpy as np
import pytest

from callbacks.scored_rows import labelled_data, scored_rows
from nines.errors import ConfigError
from tests.fakes import TinyLabelledData, TinyScorer, tiny_trainer


@pytest.fixture
def trainer(tmp_path):
    trainer = tiny_trainer(tmp_path, [], logger=False)
    trainer.datamodule = TinyLabelledData()
    return trainer


def test_scores_and_rows_have_the_same_order(trainer):
    module = TinyScorer()
    module.scores["test"] = np.linspace(0, 1, len(trainer.datamodule.rows("test")))
    scores, rows = scored_rows(trainer, module, "test")
    assert scores is module.scores["test"] or (scores == module.scores["test"]).all()
    assert rows is trainer.datamodule.rows("test")


def test_a_module_without_scores_is_refused_by_name(trainer):
    with pytest.raises(ConfigError, match="LightningModule has none"):
        scored_rows(trainer, L.LightningModule(), "test")


def test_a_trainer_without_labelled_data_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="needs a data module with rows"):
        labelled_data(tiny_trainer(tmp_path, [], logger=False))


def test_another_number_of_scores_than_rows_is_refused(trainer):
    module = TinyScorer()
    module.scores["test"] = np.zeros(3)
    with pytest.raises(ConfigError, match=r"gathered scores of \(3,\)"):
        scored_rows(trainer, module, "test")
