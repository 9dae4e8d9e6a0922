import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from apps.cli import main
from apps.train import plan
from lightning_modules.checkpoint_io import read_checkpoint
from nines.errors import ConfigError
from nines.run_folder import RunFolder, RunStatus
from tests.trainings import SMALL

ONE_EPOCH = [*SMALL, "trainer.max_epochs=1"]


def runs_in(root: Path) -> list[Path]:
    return sorted((root / "runs" / "train").iterdir())


def test_the_same_command_again_finds_its_run_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *ONE_EPOCH]) == 0
    first = capsys.readouterr()
    (run,) = runs_in(tmp_path)
    assert f"training in {run}" in first.err
    assert f"nines predict {run} pairs.jsonl" in first.out
    assert "valid/partial_auc" in first.out
    written = RunFolder(run).last.read_bytes()
    assert main(["train", *ONE_EPOCH]) == 0
    assert f"{run} is complete" in capsys.readouterr().out
    assert runs_in(tmp_path) == [run]
    assert RunFolder(run).last.read_bytes() == written


def test_a_run_that_did_not_finish_is_resumed_by_the_same_command_or_by_its_folder_unless_it_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *ONE_EPOCH]) == 0
    (run,) = runs_in(tmp_path)
    RunStatus(state="interrupted").write(RunFolder(run))
    assert main(["train", *ONE_EPOCH]) == 0
    assert f"resuming {run}" in capsys.readouterr().err
    RunStatus(state="interrupted").write(RunFolder(run))
    assert main(["train", f"resume={run}", "trainer.max_epochs=2"]) == 0
    assert f"resuming {run}" in capsys.readouterr().err
    assert read_checkpoint(RunFolder(run).last)["global_step"] == 24
    assert runs_in(tmp_path) == [run]
    RunStatus(state="interrupted").write(RunFolder(run))
    assert main(["train", f"resume={run}", "module.model.head_hidden=8"]) == 2
    assert "module.model.head_hidden would make it another one" in capsys.readouterr().err.splitlines()[-1]
    assert read_checkpoint(RunFolder(run).last)["global_step"] == 24
    kept = yaml.safe_load(RunFolder(run).overrides.read_text())
    assert kept == [*ONE_EPOCH, "trainer.max_epochs=2"]


def test_the_run_folder_depends_on_what_is_computed_only(tmp_path: Path) -> None:
    def folder(*overrides: str) -> Path:
        return plan([f"runs={tmp_path}", *overrides])[1].path

    assert folder("logger=none", "trainer.enable_progress_bar=false") == folder()
    assert folder("seed=1") != folder()
    assert folder("module.optimizer.lr=0.0002") == folder()  # the default, said aloud
    assert folder("name=other").name.removeprefix("other") == folder().name.removeprefix("classifier")


def test_overrides_beside_resume_win_over_those_of_the_folder(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.overrides.write_text("- model=tiny\n- trainer.max_epochs=3\n")
    config, found, overrides = plan([f"resume={tmp_path}", "trainer.max_epochs=4"])
    assert found.path == tmp_path
    assert (config.trainer.max_epochs, config.module.model.source, config.resume) == (4, "tiny:bert", None)
    assert overrides == ["model=tiny", "trainer.max_epochs=3", "trainer.max_epochs=4"]


def test_resuming_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no run: overrides\.yaml is missing there"):
        plan([f"resume={tmp_path}"])


def test_mistakes_are_one_line_with_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for override, hint in (
        ("imbalance=focla", "focal"),
        ("module.optimizer.lrr=1", "lr"),
        ("module.optimizer.lr=fast", "lr"),
    ):
        assert main(["train", f"runs={tmp_path}", override]) == 2
        lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("training in")]
        assert len(lines) == 1
        assert hint in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_two_ranks_that_lightning_starts_itself_train_one_run_and_speak_once(tmp_path: Path) -> None:
    overrides = [word for word in ONE_EPOCH if word != "trainer=cpu"]
    command = [sys.executable, "-m", "apps.cli", "train", *overrides, "trainer=ddp", "trainer.accelerator=cpu"]
    checkout = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "PYTHONPATH": checkout, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (run,) = runs_in(tmp_path)
    assert done.stderr.count("training in") == 1
    assert done.stdout.count("valid/partial_auc") == 1
    assert "sync_dist" not in done.stderr
    # 96 rows over two ranks of 8: half the steps of one process.
    assert read_checkpoint(RunFolder(run).last)["global_step"] == 6
    assert json.loads(RunFolder(run).status.read_text())["state"] == "completed"


def test_own_rows_without_selection_weights_train_with_a_threshold_on_all_of_them(tmp_path: Path) -> None:
    rows = [
        {"prompt": f"Story {number}.", "completion": text, "label": label}
        for number in range(60)
        for text, label in (("She fell and bled.", "yes"), ("She went home.", "no"))
    ]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["model=tiny", "trainer=cpu", "trainer.max_epochs=1", "trainer.enable_progress_bar=false", "threads=1"]
    words += ["datamodule=file", f"datamodule.path={tmp_path / 'own.jsonl'}", f"runs={tmp_path / 'runs'}"]
    words += ["callbacks.reliability.figures=false", "logger=none"]
    assert main(["train", *words]) == 0
    (run,) = (tmp_path / "runs" / "train").iterdir()
    assert json.loads(RunFolder(run).threshold.read_text())["population"] == "all"


def test_a_resume_that_would_be_another_run_is_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.overrides.write_text(yaml.safe_dump(["model=tiny"]))
    with pytest.raises(ConfigError, match=r"module\.optimizer\.lr would make it another one"):
        plan([f"resume={tmp_path}", "module.optimizer.lr=1e-3"])
    assert plan([f"resume={tmp_path}", "trainer.max_epochs=9"])[0].trainer.max_epochs == 9


def test_a_folder_that_cannot_be_written_is_refused_before_torch_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys; from apps.cli import main; code = main(['train', 'runs=/proc/x', 'model=tiny']); "
        "sys.exit(code if 'torch' not in sys.modules else 99)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "runs: cannot write /proc/x/train/" in done.stderr
    assert list(tmp_path.iterdir()) == []
