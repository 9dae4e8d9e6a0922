import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from apps.cli import main
from datamodules.completions import LabelledCompletions
from lightning_modules.prediction import Predictor
from nines.run_folder import RunFolder
from tests.lightning_modules.small_classifier import fitted_checkpoint, tiny_classifier

EMBEDDED = Path(__file__).resolve().parents[2] / "datamodules" / "embedded" / "injury" / "labelled"
SCORERS = ["classifier", "TF-IDF + logistic regression", "frozen embeddings + logistic regression"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every eighth row of the embedded data."""
    folder = tmp_path_factory.mktemp("data")
    for split in ("train", "valid", "test"):
        lines = (EMBEDDED / f"{split}.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        (folder / f"{split}.jsonl").write_text("".join(lines[::8]), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    checkpoint = fitted_checkpoint(folder.path, tiny_classifier())
    folder.checkpoints.mkdir()
    checkpoint.rename(folder.best)
    return folder.path


@pytest.fixture(scope="module")
def evaluated(run: Path, data: Path) -> dict[str, Any]:
    assert main(["evaluate", f"classifier={run}", f"path={data}"]) == 0

    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} is no JSON")

    (folder,) = run.glob("evaluation-*")
    text = (folder / "evaluation.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text, parse_constant=refuse)
    return content


def population(evaluated: dict[str, Any], scorer: str, split: str, name: str) -> dict[str, Any]:
    entries = evaluated["results"][scorer][split]["populations"]
    return next(entry for entry in entries if entry["population"] == name and entry["unsure"] == "dropped")


def test_the_classifier_and_both_baselines_are_judged_on_every_split(evaluated: dict[str, Any], run: Path) -> None:
    assert list(evaluated["results"]) == SCORERS
    assert evaluated["config"]["false_positive_rate"] == 0.05
    (folder,) = run.glob("evaluation-*")
    table = (folder / "evaluation.md").read_text(encoding="utf-8")
    for scorer, splits in evaluated["results"].items():
        assert list(splits) == ["valid", "test"]
        assert len({result["threshold"] for result in splits.values()}) == 1
        assert f"### {scorer}, accepts below {splits['test']['threshold']:.4g}" in table


def test_figures_equal_those_of_scikit_learn_over_the_predictors_scores(
    evaluated: dict[str, Any], run: Path, data: Path
) -> None:
    module = LabelledCompletions(path=str(data), tokenizer="tiny:bert", max_tokens=128)
    for split in ("valid", "test"):
        labels = module.rows(split).labels
        scores = Predictor.load(run).scores(module.texts(split))
        certain = labels >= 0
        found = population(evaluated, "classifier", split, "all")
        assert found["auroc"] == pytest.approx(roc_auc_score(labels[certain], scores[certain]), abs=1e-6)
        threshold = evaluated["results"]["classifier"][split]["threshold"]
        missed = (scores[labels == 1] < threshold).mean()
        assert found["fnr"]["estimate"] == pytest.approx(missed, abs=1e-9)


def test_the_printed_table_gives_both_bounds_for_unsure_rows(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["baselines=false", f"output={tmp_path}"]
    assert main(["evaluate", f"classifier={run}", f"path={data}", *options]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    entries = json.loads((tmp_path / "evaluation.json").read_text())["results"]["classifier"]["test"]["populations"]
    natural = [entry["fnr"] for entry in entries if entry["population"] == "natural"]
    assert len(natural) == 2
    assert natural[0]["items"] < natural[1]["items"]
    for fnr in natural:
        assert f"{fnr['events']} of {fnr['items']}" in printed
    assert "unsure" in printed


@pytest.mark.parametrize("scorer", SCORERS)
def test_each_threshold_accepts_the_asked_share_of_natural_safe_validation_rows(
    evaluated: dict[str, Any], scorer: str
) -> None:
    assert 0 <= population(evaluated, scorer, "valid", "natural")["fpr"]["estimate"] <= 0.05


def test_the_word_baseline_beats_chance_on_rows_that_it_never_saw(evaluated: dict[str, Any]) -> None:
    """Seen to be about 0.76 with an eighth of the rows; 0.6 is five standard errors above chance."""
    assert population(evaluated, SCORERS[1], "test", "all")["auroc"] > 0.6


def test_rate_population_output_and_baselines_are_choices(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["false_positive_rate=0.5", "population=written", "baselines=false", f"output={tmp_path / 'here'}"]
    assert main(["evaluate", f"classifier={run}", f"path={data}", *options]) == 0
    assert f"in {tmp_path / 'here'}\n" in capsys.readouterr().out
    assert (tmp_path / "here" / "figures" / "test_roc.png").stat().st_size > 0
    content = json.loads((tmp_path / "here" / "evaluation.json").read_text())
    assert list(content["results"]) == ["classifier"]
    rate = population(content, "classifier", "valid", "written")["fpr"]["estimate"]
    module = LabelledCompletions(path=str(data), tokenizer="tiny:bert", max_tokens=128)
    rows = module.rows("valid")
    written = int(np.sum((rows.sources == "written") & (rows.labels == 0)))
    assert math.floor(0.5 * written) / written - 0.05 <= rate <= 0.5


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("false_positive_rate=1.5", "false_positive_rate"),
        ("batch_size=0", "batch_size"),
        ("baseline=false", "baselines"),
        ("population=nature", "natural"),
        ("classifier=missing", "missing holds no checkpoint"),
    ],
)
def test_a_mistake_is_one_line_with_exit_code_2(
    run: Path, data: Path, capsys: pytest.CaptureFixture[str], override: str, hint: str
) -> None:
    assert main(["evaluate", f"classifier={run}", f"path={data}", "baselines=false", override]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert hint in error


def test_a_classifier_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate"]) == 2
    assert "classifier" in capsys.readouterr().err


def test_other_data_or_thresholds_go_to_another_folder(tmp_path: Path) -> None:
    from apps.config import compose
    from apps.evaluate import _default_output

    checkpoint = tmp_path / "checkpoints" / "best.ckpt"
    checkpoint.parent.mkdir()
    checkpoint.touch()
    by_folder = _default_output(compose("evaluate", [f"classifier={tmp_path}"]))
    by_file = _default_output(compose("evaluate", [f"classifier={checkpoint}", "baselines=false"]))
    other = _default_output(compose("evaluate", [f"classifier={tmp_path}", "path=my_folder"]))
    assert by_folder == by_file == tmp_path / "evaluation"
    assert other.parent == tmp_path
    assert other.name.startswith("evaluation-")
