import json
import subprocess
import sys
from pathlib import Path

import pytest

from apps.cli import main

GOOD = {"prompt": "He ran.", "completion": "He fell.", "label": "yes"}


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_embedded_data_passes_and_its_balance_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "7676 rows, all fit the schema" in out
    assert "train generated 507 1574 53 1490 31 3.4% 2.0%" in out
    assert "valid 36 8.5 31.7%" in out
    assert "Prompts that lie in more than one split: 0." in out


def test_three_bad_rows_print_three_messages_and_exit_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = [{**GOOD, "label": "maybe"}, GOOD, {"prompt": "x", "label": "no"}, {**GOOD, "prompt": 4}]
    path = write(tmp_path / "rows.jsonl", bad)
    assert main(["data", "check", str(path)]) == 2
    printed = capsys.readouterr()
    for line, field in ((1, "label"), (3, "completion"), (4, "prompt")):
        assert f"{path}, line {line}, field '{field}'" in printed.err
    assert "3 problems" in printed.err
    assert "Traceback" not in printed.err


def test_leaks_and_contradicting_duplicates_are_shown_and_exit_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "train.jsonl", [GOOD, {**GOOD, "label": "no"}])
    write(tmp_path / "test.jsonl", [{**GOOD, "prompt": "HE ran."}])
    assert main(["data", "check", str(tmp_path)]) == 2
    out = capsys.readouterr().out
    assert "0 exact, 1 up to case and white space, 1 of them with contradicting labels" in out
    assert "'He ran.': 2 rows in train, 1 rows in test" in out


def test_tokens_are_counted_when_a_tokenizer_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "rows.jsonl", [{**GOOD, "prompt": f"Prompt {number}."} for number in range(40)])
    assert main(["data", "check", str(path), "--tokenizer", "tiny:bert", "--max-tokens", "16"]) == 0
    out = capsys.readouterr().out
    assert "pair, tokens" in out
    assert "at 16 tokens" in out


def test_missing_data_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "nowhere.jsonl"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_checking_needs_no_torch() -> None:
    code = "import sys; from apps.cli import main; main(['data', 'check']); sys.exit('torch' in sys.modules)"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr


def test_what_training_would_miss_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "train.jsonl", [GOOD, {**GOOD, "prompt": "She ran."}])
    write(tmp_path / "val.jsonl", [{**GOOD, "prompt": "It ran.", "label": "no"}])
    assert main(["data", "check", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "Warning: there is no valid split: training needs it" in out
    assert "Warning: there is no test split" in out
    assert "Warning: train has no safe row (no) among 2 certain ones" in out
    assert f"Warning: {tmp_path / 'val.jsonl'} is not read; splits are called train, valid, test" in out


def test_the_embedded_data_has_nothing_to_warn_of(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check"]) == 0
    assert "Warning" not in capsys.readouterr().out
