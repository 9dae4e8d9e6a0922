import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.cli import main
from lightning_modules.prediction import Predictor
from lightning_modules.reward_scorer import RewardScorer
from tests.apps.policy_evaluation.conftest import PROMPTS

SMALL = ["source=tiny:llama", "sampling.max_new_tokens=6", "precision=fp32", "rows=4"]


def middle(classifier: Path, folder: Path) -> float:
    """A threshold between the scores of the base completions: some are rejected, some not."""
    output = folder / "base.jsonl"
    texts = [word for text, _ in PROMPTS for word in ("--prompt", text)]
    assert main(["generate", *SMALL, *texts, "--output", str(output)]) == 0
    pairs = [(row["prompt"], row["completion"]) for row in map(json.loads, output.read_text().splitlines())]
    return float(np.sort(Predictor.load(classifier).scores(pairs))[1:3].mean())


@pytest.fixture(scope="module")
def command(
    classifier: Path, judge: Path, reward_model: Path, prompts: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    return [
        "evaluate",
        "policy=filtered",
        *SMALL,
        f"classifier={classifier}",
        f"threshold={middle(classifier, tmp_path_factory.mktemp('base'))}",
        f"judge.classifier={judge}",
        f"judge.reward_model={reward_model}",
        f"prompts={prompts}",
    ]


@pytest.fixture
def words(command: list[str], tmp_path: Path) -> list[str]:
    return [*command, f"output={tmp_path / 'evaluation'}"]


@pytest.fixture(scope="module")
def evaluated(command: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where one evaluation was written, below the folder `evaluation`."""
    folder = tmp_path_factory.mktemp("evaluated")
    assert main([*command, f"output={folder / 'evaluation'}", "continuations=3"]) == 0
    return folder


def found(tmp_path: Path) -> dict[str, Any]:
    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} is no JSON")

    text = (tmp_path / "evaluation" / "evaluation.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text, parse_constant=refuse)
    return content


def completions(tmp_path: Path, role: str) -> list[dict[str, Any]]:
    lines = (tmp_path / "evaluation" / f"{role}.jsonl").read_text(encoding="utf-8").splitlines()
    return sorted((json.loads(line) for line in lines), key=lambda row: row["number"])


def test_figures_are_those_of_the_judges_on_what_is_written(evaluated: Path, judge: Path, reward_model: Path) -> None:
    result, own, base = found(evaluated), completions(evaluated, "policy"), completions(evaluated, "against")
    assert [row["prompt"] for row in own] == [text for text, _ in PROMPTS]
    assert any(row["tries"] > 1 for row in own)
    for rows, policy in ((own, "filtered"), (base, "base")):
        scores = Predictor.load(judge).scores([(row["prompt"], row["completion"]) for row in rows])
        (entry,) = [one for one in result["failure_rates"] if (one["policy"], one["judge"]) == (policy, "judge")]
        assert entry["failures"] == int((scores >= 0.5).sum())
        assert entry["failure_rate"]["estimate"] == pytest.approx((scores >= 0.5).mean())
    chances = RewardScorer.load(reward_model).preferences(
        *([row[key] for row in rows] for rows, key in ((own, "prompt"), (own, "completion"), (base, "completion")))
    )
    same = np.array([one["completion"] == other["completion"] for one, other in zip(own, base, strict=True)])
    wins = np.where(same, 0.5, chances[:, 0] + 0.5 * chances[:, 1])
    (quality,) = result["quality"]
    assert quality["quality"]["estimate"] == pytest.approx(wins.mean(), abs=1e-6)
    assert quality["equal"] == pytest.approx(same.mean())
    page = (evaluated / "evaluation" / "report.html").read_text(encoding="utf-8")
    assert page.count("<figure>") == 3
    assert "The worst that was delivered" in page


def test_accepted_first_attempts_are_the_base_policys_own_texts(evaluated: Path) -> None:
    for own, base in zip(completions(evaluated, "policy"), completions(evaluated, "against"), strict=True):
        assert (own["tries"] == 1) == (own["completion"] == base["completion"])


def test_the_safest_of_a_batch_draws_apart_from_the_base(words: list[str], tmp_path: Path) -> None:
    assert main([*words, "policy.selection=safest_of_batch", "policy.batch=2"]) == 0
    own, base = completions(tmp_path, "policy"), completions(tmp_path, "against")
    assert own[0]["attempts"][0]["text"] != base[0]["completion"]


def test_the_same_command_again_keeps_completions_and_figures(
    evaluated: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before, first = found(evaluated), (evaluated / "evaluation" / "policy.jsonl").read_bytes()
    capsys.readouterr()
    assert main([*command, f"output={evaluated / 'evaluation'}", "continuations=3"]) == 0
    assert found(evaluated) == before
    assert (evaluated / "evaluation" / "policy.jsonl").read_bytes() == first
    assert "nines are shown" in capsys.readouterr().out


def test_a_stratum_counts_by_its_share(words: list[str], judge: Path, tmp_path: Path) -> None:
    shares = ["target.by=risk", "target.shares={low: 0.9, high: 0.1}"]
    assert main([*words, *shares]) == 0
    result = found(tmp_path)
    assert result["target"] == pytest.approx({"low": 0.9, "high": 0.1})
    rates = {
        one["stratum"]: one["failure_rate"]["estimate"]
        for one in result["failure_rates"]
        if (one["policy"], one["judge"]) == ("base", "judge")
    }
    assert rates["all prompts"] == pytest.approx(0.9 * rates["low"] + 0.1 * rates["high"])


def test_continuations_say_how_the_generator_takes_its_completions(evaluated: Path) -> None:
    result = found(evaluated)
    assert {one["policy"] for one in result["understanding"]} == {"filtered", "base"}
    for one in result["understanding"]:
        assert one["continuations"] == 3
        assert 0 <= one["mean_share_that_implies_an_injury"] <= 1
    assert all(row["continuation"] for row in result["worst"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["policy=distilled"], "policy distilled needs distilled=<folder>"),
        (["against=bse"], "against"),
        (["split=valid"], "split=valid"),
        (["target.by=genr"], "target"),
        (["target.shares={low: 1}"], "target.shares needs target.by"),
        (["target.by=risk", "target.shares={medium: 1}"], "no prompt belongs to 'medium'"),
        (["limit_prompts=0"], "limit_prompts"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    words: list[str], change: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = [word for word in words if word.partition("=")[0] not in {one.partition("=")[0] for one in change}]
    capsys.readouterr()
    assert main([*kept, *change]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1


def test_without_an_independent_judge_the_rate_is_called_unknown_and_the_folder_has_a_name(
    command: list[str], tmp_path: Path
) -> None:
    kept = [word for word in command if not word.startswith("judge.")]
    assert main([*kept, f"runs={tmp_path / 'runs'}"]) == 0
    (folder,) = (tmp_path / "runs" / "evaluate").iterdir()
    assert folder.name.startswith("filtered-against-base-")
    result = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    assert any("the rate is unknown" in sentence for sentence in result["not_measured"])
    assert [one["independent"] for one in result["judges"]] == [False]
    assert result["quality"] == []


def test_the_composed_configuration_is_that_of_policies(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "policy=filtered", "--cfg", "job"]) == 0
    assert "label_budget: 0" in capsys.readouterr().out


def test_people_answer_in_the_files_and_are_counted_by_what_they_stand_for(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*command, f"output={tmp_path / 'evaluation'}", "label_budget=6"]
    assert main(words) == 0
    assert "3 completions wait for yes, no or unsure" in capsys.readouterr().out
    assert set(found(tmp_path)["waiting_for_labels"].values()) == {3}
    for role in ("policy", "against"):
        file = tmp_path / "evaluation" / f"labels-{role}.jsonl"
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        answers = ["yes", "no", "unsure"]
        file.write_text("".join(json.dumps({**row, "label": answers[k]}) + "\n" for k, row in enumerate(rows)))
        assert main(["label", "ingest", str(file)]) == 0, "the files are those of nines label"
    assert main(words) == 0
    rates = {(one["policy"], one["judge"]): one for one in found(tmp_path)["failure_rates"]}
    sure, unsure = rates["filtered", "people"], rates["filtered", "people, unsure as failures"]
    assert (sure["failures"], unsure["failures"], sure["delivered"]) == (1, 2, 3)
    first = json.loads((tmp_path / "evaluation" / "labels-policy.jsonl").read_text().splitlines()[0])
    assert sure["failure_rate"]["estimate"] == pytest.approx(first["share"] / first["round_probability"])
    assert unsure["failure_rate"]["estimate"] > sure["failure_rate"]["estimate"]
