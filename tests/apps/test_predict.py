import io
import json
import sys
from pathlib import Path

import pytest

from apps.cli import main
from apps.predict import read_pairs
from nines.errors import DataError
from nines.files import write_json
from nines.run_folder import RunFolder
from tests.lightning_modules.small_classifier import fitted_checkpoint, tiny_classifier

ROWS = [
    {
        "id": row,
        "prompt": f"The shelf tilted over {row} people.",
        "completion": "It missed them." + " Só close!" * (row % 4),
    }
    for row in range(30)
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    fitted_checkpoint(folder.path, tiny_classifier()).rename(folder.path / "best.ckpt")
    folder.checkpoints.mkdir()
    (folder.path / "best.ckpt").rename(folder.best)
    return folder.path


def as_lines(rows: list[object]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def scores_of(model: Path, rows: list[dict[str, object]]) -> list[float]:
    from lightning_modules.prediction import Predictor

    return Predictor.load(model).scores([(str(row["prompt"]), str(row["completion"])) for row in rows]).tolist()


def test_every_row_comes_back_in_order_with_its_own_fields_and_its_score(model: Path, tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text(as_lines(ROWS), encoding="utf-8")
    output = tmp_path / "out" / "scores.jsonl"
    arguments = ["predict", str(model), str(tmp_path / "pairs.jsonl"), "--output", str(output), "--batch-size", "4"]
    assert main(arguments) == 0
    found = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert [{key: row[key] for key in ROWS[0]} for row in found] == ROWS
    assert [row["score"] for row in found] == pytest.approx(scores_of(model, ROWS), abs=1e-6)
    assert "Só close" in output.read_text(encoding="utf-8")


def test_accepted_says_whether_the_score_lies_below_the_threshold(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pairs.jsonl").write_text(as_lines(ROWS), encoding="utf-8")
    middle = sorted(scores_of(model, ROWS))[len(ROWS) // 2]

    def flags(*options: str) -> list[object]:
        assert main(["predict", str(model), str(tmp_path / "pairs.jsonl"), *options]) == 0
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert all(row.get("accepted", row["score"] < middle) == (row["score"] < middle) for row in rows)
        return [row.get("accepted") for row in rows]

    assert flags() == [None] * len(ROWS)
    given = flags("--threshold", repr(middle))
    assert {True, False} == set(given)
    write_json(RunFolder(model).threshold, {"threshold": middle})
    assert flags() == given
    RunFolder(model).threshold.unlink()


def test_standard_input_streams_to_standard_output(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = as_lines(ROWS[:3]) + "\n\n" + as_lines(ROWS[3:5])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    assert main(["predict", str(model), "-"]) == 0
    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"prompt": "a"', "line 601: no JSON object"),
        (b'{"prompt": "a", "completion": 3}', "line 601: field 'completion' must be text"),
        (b'{"completion": "a"}', "line 601: field 'prompt' must be text"),
        (b"[1, 2]", "line 601: field 'prompt' must be text"),
        (b'{"prompt": "\xff"}', "line 601: not UTF-8 (byte 13)"),
        (b'{"prompt": "a", "completion": "' + b"blood " * 400 + b'"}', "line 601: the completion has"),
    ],
)
def test_a_malformed_row_stops_with_its_line_and_leaves_no_output(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], line: bytes, message: str
) -> None:
    source, output = tmp_path / "pairs.jsonl", tmp_path / "out" / "scores.jsonl"
    good = as_lines([{"prompt": "a", "completion": "b"}] * 600).encode()
    source.write_bytes(good + line + b"\n")
    assert main(["predict", str(model), str(source), "--output", str(output)]) == 2
    error = capsys.readouterr().err
    assert f"{source}, {message}" in error
    assert "Traceback" not in error
    assert list(output.parent.iterdir()) == []


def test_a_refused_output_leaves_the_earlier_one(model: Path, tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text("nonsense\n")
    output = tmp_path / "scores.jsonl"
    output.write_text("from before\n")
    assert main(["predict", str(model), str(tmp_path / "pairs.jsonl"), "--output", str(output)]) == 2
    assert output.read_text() == "from before\n"


def test_a_missing_input_or_model_is_one_line(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(model), str(tmp_path / "none.jsonl")]) == 2
    assert f"no input file {tmp_path / 'none.jsonl'}" in capsys.readouterr().err
    (tmp_path / "pairs.jsonl").write_text(as_lines(ROWS))
    assert main(["predict", str(tmp_path), str(tmp_path / "pairs.jsonl")]) == 2
    error = capsys.readouterr().err
    assert f"{tmp_path} holds no checkpoint" in error
    assert error.count("\n") == 1


def test_lines_are_counted_with_the_blank_ones() -> None:
    with pytest.raises(DataError, match=r"^here, line 3: field 'prompt' must be text$"):
        list(read_pairs([b"\n", b'{"prompt": "a", "completion": "b"}\n', b"{}\n"], name="here"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--threshold", "nan"], "--threshold nan: scores are probabilities"),
        (["--threshold", "1.5"], "--threshold 1.5"),
        (["--threshold=-0.1"], "--threshold -0.1"),
        (["--batch-size", "0"], "--batch-size 0"),
        (["--output", "/dev/full"], "--output /dev/full is no file"),
    ],
)
def test_options_out_of_range_are_refused_before_the_model_is_loaded(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(tmp_path / "no-model"), "-", *options]) == 2
    assert said in capsys.readouterr().err


def test_several_models_give_one_score_and_what_they_disagree_about(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    module = tiny_classifier()
    for parameter in module.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    other = fitted_checkpoint(tmp_path, module)
    (tmp_path / "pairs.jsonl").write_text(as_lines(ROWS[:5]), encoding="utf-8")
    words = ["predict", str(model), str(tmp_path / "pairs.jsonl"), "--with", str(other)]
    assert main([*words, "--combine", "max"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    own = [scores_of(model, ROWS[:5]), scores_of(other, ROWS[:5])]
    assert [row["scores"] for row in found] == [pytest.approx(pair, abs=1e-6) for pair in zip(*own, strict=True)]
    assert [row["score"] for row in found] == pytest.approx([max(pair) for pair in zip(*own, strict=True)], abs=1e-6)
    assert all(row["knowledge_uncertainty"] >= 0 and "accepted" not in row for row in found)
    assert main([*words, "--threshold", "0.5"]) == 0
    assert all("accepted" in json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert main([*words, "--combine", "quantile", "--quantile", "2"]) == 2
    assert "--quantile 2.0" in capsys.readouterr().err


def test_the_help_names_the_combinations_that_there_are() -> None:
    from apps.predict import COMBINATIONS
    from nines.statistics import ensembles

    assert COMBINATIONS == ensembles.COMBINATIONS
