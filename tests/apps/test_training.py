import json
import math
import resource
import signal
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from apps.training import resolve_precision
from lightning_modules.checkpoint_io import read_checkpoint
from nines.errors import CheckpointError, ConfigError, DivergedError, StorageError
from nines.models.precision import cpu_has_native_bf16
from nines.run_folder import RunFolder, RunStatus
from tests.trainings import assert_same_to_the_bit, fork, killing, run_in_child, train_small, wait_for


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, dict[str, float]]:
    """A run with all callbacks and a test at its end."""
    folder = tmp_path_factory.mktemp("finished")
    overrides = ["test=true", "callbacks=default", "logger=tensorboard", "trainer.max_epochs=1", "name=readable"]
    return RunFolder(folder), train_small(folder, overrides)


def status_of(folder: Path) -> RunStatus:
    status = RunStatus.read(RunFolder(folder))
    assert status is not None
    return status


def test_a_finished_run_holds_everything_that_its_layout_promises(finished: tuple[RunFolder, dict[str, float]]) -> None:
    folder, _ = finished
    for path in (folder.config, folder.overrides, folder.last, folder.best, folder.metrics, folder.threshold):
        assert path.stat().st_size > 0
    assert list(folder.tensorboard.glob("events.out.tfevents.*"))
    assert not [path for path in folder.path.rglob("*") if path.name.endswith(".tmp")]
    assert json.loads(folder.environment.read_text())["seed"] == 0
    assert yaml.safe_load(folder.config.read_text())["name"] == "readable"
    assert "name=readable" in yaml.safe_load(folder.overrides.read_text())
    status = status_of(folder.path)
    assert (status.state, status.step, status.total_steps) == ("completed", 12, 12)
    assert status.objective == pytest.approx(json.loads(folder.metrics.read_text())["metrics"]["valid/partial_auc"])


def test_metrics_cover_validation_and_every_test_set(finished: tuple[RunFolder, dict[str, float]]) -> None:
    folder, figures = finished
    written = json.loads(folder.metrics.read_text())["metrics"]
    for split in ("valid", "test", "adversarial", "minimal_pairs"):
        for name in ("auroc", "log_loss"):
            assert math.isfinite(written[f"{split}/{name}"])
            assert written[f"{split}/{name}"] == pytest.approx(figures[f"{split}/{name}"])
    assert 0 <= written["test/natural/fnr"] <= written["test/natural/fnr_upper"] <= 1
    assert list(written) == sorted(written)


def test_the_metrics_are_those_of_the_best_checkpoint(finished: tuple[RunFolder, dict[str, float]]) -> None:
    """Recomputed from the checkpoint file by the predictor, with scikit-learn."""
    from sklearn.metrics import roc_auc_score

    from datamodules.completions import LabelledCompletions
    from lightning_modules.prediction import Predictor

    folder, figures = finished
    data = LabelledCompletions(tokenizer="tiny:bert", max_tokens=128, limit_rows=96)
    for split in ("valid", "test"):
        labels = data.rows(split).labels
        scores = Predictor.load(folder.path).scores(data.texts(split))
        found = roc_auc_score(labels[labels >= 0], scores[labels >= 0])
        assert figures[f"{split}/auroc"] == pytest.approx(found, abs=1e-5)


def test_without_a_test_nothing_of_the_test_set_is_told(tmp_path: Path) -> None:
    figures = train_small(tmp_path, ["test=false", "trainer.max_epochs=1"])
    written = json.loads(RunFolder(tmp_path).metrics.read_text())["metrics"]
    assert {name.partition("/")[0] for name in (*figures, *written)} == {"valid"}


def test_a_run_that_fails_says_so_in_its_status_and_keeps_the_error(tmp_path: Path) -> None:
    """An absurd learning rate without clipping overflows within a few steps."""
    with pytest.raises(DivergedError, match="training diverged"):
        train_small(tmp_path, ["module.optimizer.lr=1e38", "module.optimizer.warmup=0", "clipping=none"])
    status = status_of(tmp_path)
    assert status.state == "failed"
    assert status.message.startswith("DivergedError: training diverged")
    assert "\n" not in status.message


def test_a_configuration_that_does_not_fit_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="batch_size"):
        train_small(tmp_path / "run", ["datamodule.batch_size=many"])
    assert not (tmp_path / "run").exists()


def test_a_resume_with_another_architecture_is_refused_and_the_run_stays_resumable(tmp_path: Path) -> None:
    assert train_small(tmp_path, ["trainer.max_epochs=1"])
    folder = RunFolder(tmp_path)
    before = (folder.config.read_text(), folder.overrides.read_text(), folder.last.read_bytes())
    with pytest.raises(CheckpointError, match=r"another architecture: model\.head\.") as raised:
        train_small(tmp_path, ["trainer.max_epochs=2", "module.model.head_hidden=8"])
    assert "\n" not in str(raised.value)
    assert status_of(tmp_path).state == "failed"
    assert before == (folder.config.read_text(), folder.overrides.read_text(), folder.last.read_bytes())
    train_small(tmp_path, ["trainer.max_epochs=2"])
    assert status_of(tmp_path).state == "completed"
    assert read_checkpoint(folder.last)["global_step"] == 24


def test_a_full_disk_while_saving_is_one_line_and_the_run_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    """The kernel refuses to let a file grow, as a full disk would, from the fifth step on; in a child."""
    overrides = ["trainer.max_epochs=1"]
    assert run_in_child(tmp_path / "whole", overrides) == 0
    assert run_in_child(tmp_path / "full", [*overrides, *killing(5)]) == -signal.SIGKILL
    folder = RunFolder(tmp_path / "full")
    whole_before = folder.last.read_bytes()

    def with_little_room() -> int:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        room = len(whole_before) // 2  # too little for a checkpoint, enough for all else
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        try:
            train_small(folder.path, overrides)
        except StorageError as error:
            return error.exit_code if "\n" not in str(error) and str(folder.last) in str(error) else 3
        return 4

    assert wait_for(fork(with_little_room)) == 1
    assert folder.last.read_bytes() == whole_before
    assert [path.name for path in folder.checkpoints.iterdir()] == ["last.ckpt"]
    status = status_of(folder.path)
    assert status.state == "failed"
    assert status.message.startswith("StorageError: cannot write the checkpoint")
    assert run_in_child(folder.path, overrides) == 0
    assert_same_to_the_bit(tmp_path / "whole", folder.path)


def test_precision_is_bf16_only_where_the_device_computes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    config = OmegaConf.create({"trainer": {"precision": "auto", "accelerator": "cpu"}})
    resolve_precision(config)
    assert config.trainer.precision == ("bf16-mixed" if cpu_has_native_bf16() else "32-true")
    for native, expected in ((True, "bf16-mixed"), (False, "32-true")):
        monkeypatch.setattr("nines.models.precision.cpu_has_native_bf16", lambda native=native: native)
        config.trainer.precision = "auto"
        resolve_precision(config)
        assert config.trainer.precision == expected
    config.trainer.precision = "16-true"
    resolve_precision(config)
    assert config.trainer.precision == "16-true"


def test_the_same_seed_gives_the_same_run_and_another_seed_another(tmp_path: Path) -> None:
    for name, seed in (("first", 0), ("again", 0), ("other", 1)):
        train_small(tmp_path / name, ["trainer.max_epochs=1", f"seed={seed}"])
    assert_same_to_the_bit(tmp_path / "first", tmp_path / "again")
    with pytest.raises(AssertionError):
        assert_same_to_the_bit(tmp_path / "first", tmp_path / "other")
