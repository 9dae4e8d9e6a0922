from pathlib import Path

from lightning.pytorch.loggers import TensorBoardLogger

from callbacks.progress import Progress
from tests.fakes import ScriptedObjective, fit_scripted


def test_the_bar_shows_the_loss_and_no_version(tmp_path: Path) -> None:
    shown: list[dict[str, object]] = []

    class Recording(Progress):
        def get_metrics(self, *arguments: object) -> dict[str, object]:
            shown.append(super().get_metrics(*arguments))
            return shown[-1]

    class Logging(ScriptedObjective):
        def training_step(self, batch: object, batch_idx: int) -> object:
            loss = super().training_step(batch, batch_idx)
            self.log("train/loss", loss, prog_bar=True)
            return loss

    logger = TensorBoardLogger(save_dir=str(tmp_path), name="", version="tensorboard")
    fit_scripted(tmp_path, [Recording()], Logging([0.5]), max_epochs=1, logger=logger, enable_progress_bar=True)
    assert shown
    assert all("v_num" not in metrics for metrics in shown)
    assert any("train/loss" in metrics for metrics in shown)
