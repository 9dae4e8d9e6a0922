from __future__ import annotations

from pathlib import Path

from lightning.pytorch.demos.boring_classes import BoringModel

from callbacks.export import Export
from tests.fakes import tiny_trainer


class Exporting(BoringModel):
    def export(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "weights").write_text(f"{float(self.layer.weight.sum()):.6f}", encoding="utf-8")


def test_the_tested_weights_are_exported_into_the_run_folder(tmp_path: Path) -> None:
    module = Exporting()
    trainer = tiny_trainer(tmp_path, [Export(folder="finished")], limit_train_batches=1, limit_val_batches=1)
    trainer.fit(module)
    assert not (tmp_path / "finished").exists()
    trainer.test(module, verbose=False)
    assert (tmp_path / "finished" / "weights").read_text(encoding="utf-8") == f"{float(module.layer.weight.sum()):.6f}"
