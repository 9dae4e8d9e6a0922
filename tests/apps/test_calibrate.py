import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.cli import main
from datamodules.completions import LabelledCompletions
from lightning_modules.prediction import Predictor
from nines.run_folder import RunFolder
from nines.statistics.conformal import conformal_threshold
from nines.statistics.thresholds import fix_threshold
from tests.lightning_modules.small_classifier import fitted_checkpoint, tiny_classifier

SMALL = ["calibration=none", "figures=false"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    checkpoint = fitted_checkpoint(folder.path, tiny_classifier())
    folder.checkpoints.mkdir()
    checkpoint.rename(folder.best)
    return folder.path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty prompts with two rows each, whose words say what is injurious."""
    folder = tmp_path_factory.mktemp("data")
    for split in ("train", "valid", "test"):
        rows = [
            {
                "prompt": f"{split} scene {number}.",
                "prompt_id": f"{split}{number}",
                "completion": text,
                "label": label,
                "source": "generated",
                "selection_probability": 0.5 if label == "no" else 1.0,
                "drawn": 4,
            }
            for number in range(30)
            for text, label in ((f"It fell on her hand {number}.", "yes"), (f"She waved {number} times.", "no"))
        ]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def scored(run: Path, data: Path) -> tuple[Any, Any]:
    module = LabelledCompletions(path=str(data), tokenizer="tiny:bert", max_tokens=128)
    return Predictor.load(run).scores(module.texts("valid")), module.rows("valid")


def written(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "threshold.json").read_text(encoding="utf-8"))
    return content


def test_the_threshold_is_that_of_the_rule_on_float32_scores_with_all_that_it_rests_on(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [f"path={data}", f"output={tmp_path}", "rule=conformal", "alpha=0.2", *SMALL]
    assert main(["calibrate", f"classifier={run}", *options]) == 0
    scores, rows = scored(run, data)
    injurious = rows.labels == 1
    weights, prompts = rows.natural_weights[injurious], rows.prompts[injurious]
    known = conformal_threshold(scores[injurious], alpha=0.2, weights=weights, prompts=prompts)
    content = written(tmp_path)
    assert content["threshold"] == pytest.approx(known.threshold, abs=1e-7)
    assert (content["rule"], content["settings"], content["items"]) == ("conformal", {"alpha": 0.2}, 30)
    assert (content["population"], content["chosen_on"], content["precision"]) == ("natural", "valid", "float32")
    assert content["data"]["rows"] == 60
    assert len(content["data"]["fingerprint"]) == 32
    assert len(content["checkpoint"]["sha256"]) == 64
    assert content["guarantee"] in capsys.readouterr().out


def test_by_default_it_is_the_threshold_of_training_beside_the_checkpoint_and_everything_reads_it(
    run: Path, data: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert (
        main(["calibrate", f"classifier={run}", f"path={data}", "false_positive_rate=0.3", "calibration=isotonic"]) == 0
    )
    scores, rows = scored(run, data)
    fixed = fix_threshold(scores, rows, population="natural", rate=0.3)
    predictor = Predictor.load(run)
    assert predictor.threshold == pytest.approx(fixed.threshold, abs=1e-7)
    assert predictor.calibration is not None
    assert (run / "figures" / "calibrate_trade_off.png").stat().st_size > 0
    assert (run / "figures" / "calibrate_reliability.png").stat().st_size > 0
    curves = json.loads((run / "calibration.json").read_text())
    assert curves["margin"] is not None
    assert curves["trade_off"]["injurious"] == 30

    capsys.readouterr()
    (tmp_path / "pairs.jsonl").write_text('{"prompt": "A.", "completion": "B."}\n')
    assert main(["predict", str(run), str(tmp_path / "pairs.jsonl")]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["probability"] == pytest.approx(float(predictor.calibration.apply(row["score"])))
    assert row["accepted"] == (row["score"] < predictor.threshold)

    options = [f"path={data}", "baselines=false"]
    assert main(["evaluate", f"classifier={run}", *options, f"output={tmp_path / 'own'}"]) == 0
    assert main(["evaluate", f"classifier={run}", *options, "threshold=fixed", f"output={tmp_path / 'anew'}"]) == 0
    results = {
        name: json.loads((tmp_path / name / "evaluation.json").read_text())["results"]["classifier"]["test"]
        for name in ("own", "anew")
    }
    assert results["own"]["threshold"] == predictor.threshold != results["anew"]["threshold"]
    for name in ("threshold.json", "calibration.json"):
        (run / name).unlink()


def test_a_map_changes_no_decision(run: Path, data: Path, tmp_path: Path) -> None:
    thresholds = []
    for kind in ("none", "isotonic"):
        options = [f"path={data}", f"output={tmp_path}", "rule=acceptance", "acceptance=0.7", f"calibration={kind}"]
        assert main(["calibrate", f"classifier={run}", *options, "figures=false"]) == 0
        thresholds.append(written(tmp_path)["threshold"])
    assert thresholds[0] == thresholds[1]
    assert not (tmp_path / "figures").exists()


def test_the_quality_budget_reads_judged_pairs_and_states_quality(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [json.loads(line) for line in (data / "valid.jsonl").read_text().splitlines()]
    judged = tmp_path / "judged"
    judged.mkdir()
    for split in ("train", "valid"):
        pairs = [
            {"prompt": one["prompt"], "prompt_id": one["prompt_id"], "a": one["completion"], "b": other["completion"],
             "preference": "tie"}
            for one, other in zip(rows[::2], rows[1::2], strict=True)
        ]  # fmt: skip
        (judged / f"{split}.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    pool = [{"prompt_id": row["prompt_id"], "completion": f"More {row['completion']}"} for row in rows]
    (judged / "unlabelled.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pool))
    options = [f"path={data}", f"output={tmp_path}", "rule=quality_budget", f"comparisons={judged}", "calibration=none"]
    assert main(["calibrate", f"classifier={run}", *options, "quality_loss=0.2"]) == 0
    content = written(tmp_path)
    assert content["observed"]["quality_lower"] >= 0.3
    assert content["settings"]["quality_loss"] == 0.2
    assert len(json.loads((tmp_path / "calibration.json").read_text())["quality"]) > 50
    assert (tmp_path / "figures" / "calibrate_quality.png").stat().st_size > 0
    assert "in 0.3 of comparisons" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("overrides", "hint"),
    [
        (["rule=conformal", "alpha=0.01"], "alpha=0.01 is below"),
        (["rule=clopper_pearson", "alpha=0.01"], "it takes 299"),
        (["rule=acceptance", "alpha=0.2"], "rule=acceptance does not use alpha"),
        (["rule=conformal", "alpha=0.2", "largest_weight=0.01"], "largest_weight"),
        (["rule=conforming"], "conformal"),
        (["split=train"], "trained on these rows"),
        (["split=val"], "valid"),
        (["population=nature"], "natural"),
        (["alpha=2"], "alpha"),
    ],
)
def test_a_mistake_is_one_line_with_exit_code_2_and_leaves_nothing_behind(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], overrides: list[str], hint: str
) -> None:
    options = [f"path={data}", f"output={tmp_path / 'out'}", *SMALL]
    assert main(["calibrate", f"classifier={run}", *options, *overrides]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert hint in error
    assert not (tmp_path / "out").exists()


def test_ties_of_a_useless_score_are_told_and_not_hidden(run: Path, data: Path, tmp_path: Path) -> None:
    options = [f"path={data}", f"output={tmp_path}", "rule=acceptance", "acceptance=1.0", *SMALL]
    assert main(["calibrate", f"classifier={run}", *options]) == 0
    scores, _ = scored(run, data)
    assert (scores < written(tmp_path)["threshold"]).all()
    assert written(tmp_path)["threshold"] == pytest.approx(float(np.max(scores)), abs=1e-7)
