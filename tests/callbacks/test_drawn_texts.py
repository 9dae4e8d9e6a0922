from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.demos.boring_classes import BoringDataModule, BoringModel

from callbacks.drawn_texts import FILE, DrawnTexts
from nines.files import read_json
from tests.fakes import logged_tags, tiny_trainer


class Counting(BoringDataModule):
    """Says that each call of `drawn` found one more document."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def drawn(self) -> dict[str, Any]:
        self.calls += 1
        return {"whole": {"own": {"documents": self.calls, "share": 1.0}}, "epochs": []}


def fit(folder: Path, data: L.LightningDataModule) -> None:
    tiny_trainer(folder, [DrawnTexts()], max_epochs=2, limit_train_batches=2, limit_val_batches=0).fit(
        BoringModel(), datamodule=data
    )


def test_the_last_report_is_in_the_run_folder_and_shares_are_logged(tmp_path: Path) -> None:
    fit(tmp_path, Counting())
    assert read_json(tmp_path / FILE)["whole"]["own"]["documents"] == 3  # two epochs, and the end
    assert "drawn/own" in logged_tags(tmp_path)["scalars"]


def test_a_data_module_that_draws_nothing_of_the_kind_leaves_no_file(tmp_path: Path) -> None:
    fit(tmp_path, BoringDataModule())
    assert not (tmp_path / FILE).exists()
