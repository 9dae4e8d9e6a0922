import logging
from pathlib import Path

import pytest

from apps.cli import main
from apps.train import _rows_a_step
from lightning_modules.checkpoint_io import AtomicCheckpointIO
from nines.checkpoint_folder import consolidated_file
from nines.folder_lock import lock_folder
from nines.run_folder import RunFolder
from tests.lightning_modules.small_classifier import fitted_checkpoint, tiny_classifier
from tests.nines.test_checkpoint_folder import sharded_checkpoint


@pytest.fixture
def sharded(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path / "run")
    run.checkpoints.mkdir(parents=True)
    sharded_checkpoint(run.last, step=12)
    sharded_checkpoint(run.best, step=6)
    return run


def said(capsys: pytest.CaptureFixture[str]) -> str:
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def test_show_says_what_the_checkpoints_of_a_run_are(sharded: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["checkpoint", "show", str(sharded.path)]) == 0
    last, best = capsys.readouterr().out.split("\n\n")
    facts = dict(line.split(maxsplit=1) for line in last.splitlines()[1:] if not line.strip().startswith("as one"))
    assert facts == {
        "strategy": "trainer=deepspeed_zero2",
        "ranks": "2",
        "step": "12",
        "epoch": "1",
        "precision": "32-true",
        "architecture": "tiny:bert",
        "size": "0.0 MB in 2 files",
    }
    assert best.splitlines()[0] == str(sharded.best)
    assert f"nines checkpoint consolidate {sharded.best}" in best


def test_show_reads_the_checkpoint_of_one_process(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = fitted_checkpoint(tmp_path, tiny_classifier())
    assert main(["checkpoint", "show", str(path)]) == 0
    out = capsys.readouterr().out
    assert "one process or trainer=ddp" in out
    assert "tiny:bert" in out
    assert main(["checkpoint", "consolidate", str(path)]) == 0
    assert "is one file already" in capsys.readouterr().out


def test_prediction_and_evaluation_name_the_command_that_makes_one_file(
    sharded: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pairs.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    assert main(["predict", str(sharded.path), str(tmp_path / "pairs.jsonl")]) == 2
    assert said(capsys).endswith(f"nines checkpoint consolidate {sharded.path}")
    assert main(["evaluate", f"classifier={sharded.path}"]) == 2
    assert said(capsys).endswith(f"nines checkpoint consolidate {sharded.path}")


def test_one_file_of_another_checkpoint_is_not_taken_for_this_ones(
    sharded: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from lightning_modules.prediction import locate_checkpoint
    from nines.checkpoint_folder import read_manifest

    file = consolidated_file(sharded.best, read_manifest(sharded.best))
    file.write_text("weights")
    assert locate_checkpoint(sharded.path)[0] == file
    sharded_checkpoint(sharded.best, step=7)
    (tmp_path / "pairs.jsonl").write_text("")
    assert main(["predict", str(sharded.path), str(tmp_path / "pairs.jsonl")]) == 2
    assert "consolidate" in said(capsys)


def test_a_missing_shard_is_named(sharded: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    (sharded.best / "shards" / "1.pt").unlink()
    for action in (["consolidate"], ["show"]):
        assert main(["checkpoint", *action, str(sharded.best)]) == 2
        assert f"{sharded.best} lacks its file shards/1.pt" in said(capsys)


def test_a_folder_without_checkpoints_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["show", str(tmp_path)], ["consolidate", str(tmp_path)], ["reshard", str(tmp_path), "--ranks", "2"]):
        assert main(["checkpoint", *words]) == 2
        assert "holds no checkpoint" in said(capsys)


def test_reshard_leaves_what_fits_and_what_a_process_uses(
    sharded: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["checkpoint", "reshard", str(sharded.path), "--ranks", "2"]) == 0
    assert "is for 2 ranks already" in capsys.readouterr().out
    assert main(["checkpoint", "reshard", str(sharded.path), "--ranks", "0"]) == 2
    assert "--ranks must be at least 1" in said(capsys)
    with lock_folder(sharded.path):
        assert main(["checkpoint", "reshard", str(sharded.path), "--ranks", "4"]) == 1
    assert "another process still runs" in said(capsys)


def test_reshard_of_a_file_without_a_place_in_an_epoch_has_nothing_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    AtomicCheckpointIO().save_checkpoint({"epoch": 1}, tmp_path / "last.ckpt")
    assert main(["checkpoint", "reshard", str(tmp_path / "last.ckpt"), "--ranks", "4"]) == 0
    assert "there is nothing to do" in capsys.readouterr().out


def test_rows_of_a_step_are_known_only_where_the_ranks_are() -> None:
    flat = {"datamodule.batch_size": 8, "trainer.devices": 2}
    assert _rows_a_step(flat) == 16
    assert _rows_a_step({**flat, "trainer.num_nodes": 3}) == 48
    assert _rows_a_step({**flat, "trainer.devices": "auto"}) is None


def test_that_a_conversion_finds_no_gpu_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    """The only line of DeepSpeed that is left out: it warns of a machine that has all that a conversion needs."""
    assert main(["checkpoint", "consolidate", "/nonexistent"]) == 2
    logger = logging.getLogger("DeepSpeed")
    no_gpu = "Setting accelerator to CPU. If you have GPU or other accelerator, we were unable to detect it."
    assert not logger.filter(logging.makeLogRecord({"msg": no_gpu}))
    assert logger.filter(logging.makeLogRecord({"msg": "a shard is of another version"}))
