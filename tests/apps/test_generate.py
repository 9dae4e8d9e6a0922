import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.cli import main
from apps.generate import read_prompts
from lightning_modules.prediction import Predictor
from nines.errors import DataError, UserError
from nines.files import write_json
from nines.run_folder import RunFolder
from tests.lightning_modules.small_classifier import fitted_checkpoint, tiny_classifier

SMALL = ["source=tiny:llama", "sampling.max_new_tokens=6", "precision=fp32", "rows=4"]
PROMPTS = ["The door opened.", "She ran.", "The dog sat, and then", "He fell."]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    checkpoint = fitted_checkpoint(folder.path, tiny_classifier())
    folder.checkpoints.mkdir()
    checkpoint.rename(folder.best)
    write_json(folder.threshold, {"threshold": 0.5})
    return folder.path


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"id": 1, "prompt": prompt}) + "\n" for prompt in PROMPTS), encoding="utf-8")
    return path


def rows_of(path: Path) -> list[dict[str, Any]]:
    return sorted((json.loads(line) for line in path.read_text().splitlines()), key=lambda row: row["number"])


def middle_score(model: Path, prompts: Path, tmp_path: Path) -> float:
    """Between two scores of the base completions: in batches of another shape their last digits may differ."""
    assert main(["generate", *SMALL, f"prompts={prompts}", "--output", str(tmp_path / "base.jsonl")]) == 0
    pairs = [(row["prompt"], row["completion"]) for row in rows_of(tmp_path / "base.jsonl")]
    return float(np.sort(Predictor.load(model).scores(pairs))[1:3].mean())


def test_filtered_attempts_are_written_with_their_scores_and_shown(
    model: Path, prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    threshold = middle_score(model, prompts, tmp_path)
    capsys.readouterr()
    output = tmp_path / "out.jsonl"
    words = [*SMALL, "policy=filtered", f"classifier={model}", f"threshold={threshold}", f"prompts={prompts}"]
    assert main(["generate", *words, "--output", str(output)]) == 0
    rows = rows_of(output)
    assert [row["prompt"] for row in rows] == PROMPTS
    predictor = Predictor.load(model)
    shown = capsys.readouterr().out
    for row in rows:
        expected = predictor.scores([(row["prompt"], attempt["text"]) for attempt in row["attempts"]])
        assert [attempt["score"] for attempt in row["attempts"]] == pytest.approx(expected.tolist(), abs=1e-6)
        assert [attempt["accepted"] for attempt in row["attempts"]] == [score < threshold for score in expected]
        assert row["tries"] == len(row["attempts"])
        assert row["completion"] == (row["attempts"][-1]["text"] if not row["gave_up"] else None)
        assert shown.count(f"{row['attempts'][0]['score']:.4f}")
    assert any(row["tries"] > 1 for row in rows)
    assert "rejected" in shown
    assert "→" in shown
    assert "\x1b[" not in shown, "a pipe gets no colours"


def test_a_file_is_continued_and_equals_one_made_at_once(
    prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, parts = tmp_path / "whole.jsonl", tmp_path / "parts.jsonl"
    words = ["generate", *SMALL, f"prompts={prompts}", "--output"]
    assert main([*words, str(whole)]) == 0
    lines = whole.read_bytes().splitlines(keepends=True)
    parts.write_bytes(lines[2] + lines[0] + lines[1][:40])  # killed while it wrote the third
    capsys.readouterr()
    assert main([*words, str(parts)]) == 0
    for found, expected in zip(rows_of(parts), rows_of(whole), strict=True):
        # Of log-probabilities the last digits depend on which rows share a batch.
        (attempt,), (wanted,) = found.pop("attempts"), expected.pop("attempts")
        assert found == expected
        assert attempt["tokens"] == wanted["tokens"]
        assert attempt["token_log_probs"] == pytest.approx(wanted["token_log_probs"], abs=1e-5)
    assert "2 of 4 prompts are in" in capsys.readouterr().err
    before = parts.read_bytes()
    assert main([*words, str(parts)]) == 0
    assert parts.read_bytes() == before


def test_other_settings_other_prompts_and_other_files_are_not_continued(
    prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.jsonl"
    words = ["generate", *SMALL, "--output", str(output)]
    assert main([*words, f"prompts={prompts}"]) == 0
    before = output.read_bytes()
    assert main([*words, f"prompts={prompts}", "seed=1"]) == 2
    assert "written with other settings" in capsys.readouterr().err
    assert main([*words, "--prompt", "Another."]) == 2
    assert "holds another prompt 0" in capsys.readouterr().err
    assert output.read_bytes() == before
    for content in ("not rows\n", "no line at all"):
        output.write_text(content, encoding="utf-8")
        assert main([*words, f"prompts={prompts}"]) == 2
        assert "give another --output" in capsys.readouterr().err
        assert output.read_text(encoding="utf-8") == content


def test_a_dialogue_answers_until_an_empty_line_and_each_answer_is_new(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("She ran.\nShe ran.\n\nnever read\n"))
    output = tmp_path / "out.jsonl"
    assert main(["generate", *SMALL, "--interactive", "--prompt", "He fell.", "--output", str(output)]) == 0
    rows = rows_of(output)
    assert [(row["number"], row["prompt"]) for row in rows] == [(0, "He fell."), (1, "She ran."), (2, "She ran.")]
    assert rows[1]["completion"] != rows[2]["completion"]
    assert "never read" not in capsys.readouterr().out


def test_giving_up_is_shown_and_written(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out.jsonl"
    words = ["policy=filtered", "policy.max_tries=3", f"classifier={model}", "threshold=1e-9", "--prompt", "He fell."]
    assert main(["generate", *SMALL, *words, "--output", str(output)]) == 0
    (row,) = rows_of(output)
    assert (row["gave_up"], row["fallback"], row["completion"], row["tries"]) == (True, "refuse", None, 3)
    printed = capsys.readouterr()
    assert "gave up after 3 tries: nothing is delivered" in printed.out
    assert "gave up on 1" in printed.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "there is nothing to continue"),
        (["policy=filtered", "--prompt", "A."], "needs classifier="),
        (["policy=best_of_n", "--prompt", "A."], "needs reward_model="),
        (["threshold=0.5", "--prompt", "A."], "are for policy=filtered"),
        (["policy=distilled", 'source="pypi:a==1/b"', "--prompt", "A."], "needs the distilled model"),
        (["prompts=missing.jsonl"], "there is no such file"),
        (["sampling.top_p=2", "--prompt", "A."], "top_p must lie in"),
        (["policy=filtered", "policy.max_trys=2"], "max_tries"),
        (["policy=filtered", "classifier=nowhere", "--prompt", "A."], "holds no checkpoint"),
        (["--prompt", " "], "a prompt is empty"),
    ],
)
def test_mistakes_are_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", *SMALL, *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_prompts_come_from_rows_lines_or_the_words_themselves(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"prompt": "A."}\n\n{"prompt": "B."}\n{"prompt": "A."}\n', encoding="utf-8")
    (tmp_path / "lines.txt").write_text("A.\n\n B. \n", encoding="utf-8")
    assert read_prompts(str(tmp_path / "rows.jsonl")) == ["A.", "B."]
    assert read_prompts(str(tmp_path / "lines.txt")) == ["A.", "B."]
    assert read_prompts("She ran") == ["She ran"]
    assert read_prompts(None) == []
    with pytest.raises(UserError, match="no such file"):
        read_prompts(str(tmp_path))
    (tmp_path / "bad.jsonl").write_text('{"prompt": "A."}\n{"text": "B."}\n', encoding="utf-8")
    with pytest.raises(DataError, match="line 2: field 'prompt'"):
        read_prompts(str(tmp_path / "bad.jsonl"))
