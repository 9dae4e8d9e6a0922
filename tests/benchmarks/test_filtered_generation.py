import json
from pathlib import Path

import pytest

from benchmarks.filtered_generation import OURS, main
from nines.run_folder import RunFolder
from tests.lightning_modules.small_classifier import fitted_checkpoint, tiny_classifier


def test_both_loops_deliver_at_the_same_threshold_and_the_ratio_is_that_of_their_speeds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    checkpoint = fitted_checkpoint(folder.path, tiny_classifier())
    folder.checkpoints.mkdir()
    checkpoint.rename(folder.best)
    words = ["--source", "tiny:llama", "--precision", "fp32", "--classifier", str(folder.path), "--threads", "1"]
    main([*words, "--prompts", "3", "--rounds", "1", "--completions", "2", "--json", str(tmp_path / "out.json")])
    figures = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    (speeds,) = figures["speeds"]
    ratio = speeds[OURS]["wall"] / speeds["plain loop, n=2"]["wall"]
    assert figures["ratios"]["against plain loop, n=2"]["wall"]["median"] == pytest.approx(ratio)
    assert 0 < figures["threshold"] < 1
    assert "3 prompts, 1 threads" in capsys.readouterr().out
