import json
from pathlib import Path

import pytest

from benchmarks.labelling import __main__ as benchmark
from benchmarks.labelling import active_learning, ensembles, labellers
from nines.models.head_ensemble import HeadOptions
from tests.benchmarks.labelling.made_material import split, splits


@pytest.fixture(autouse=True)
def _made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "embedded", lambda: (splits(), split(50, seed=9).features))
    quick = HeadOptions(width=4, steps=30, batch_size=64, learning_rate=0.05)
    for module in (active_learning, ensembles, labellers):
        monkeypatch.setattr(module, "varied", lambda count, *, seed: [quick] * count)
    monkeypatch.setattr(ensembles, "HeadOptions", lambda: quick)


def test_active_learning_prints_both_tables_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figure, file = tmp_path / "curves.png", tmp_path / "figures.json"
    words = ["active_learning", "--seeds", "2", "--members", "2", "--budgets", "20", "40", "60"]
    assert benchmark.main([*words, "--figure", str(figure), "--json", str(file)]) == 0
    out = capsys.readouterr().out
    assert out.count("| accepted among rejected |") == 1
    assert "| mutual information, bought by chance | score and signal |" in out
    assert figure.stat().st_size > 5000
    assert len(json.loads(file.read_text())["curves"]["random"]) == 2


def test_ensembles_print_a_row_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["ensembles", "--seeds", "2", "--members", "2"]) == 0
    out = capsys.readouterr().out
    assert "| single, as wide as all | 2 | 2 |" in out
    assert "rank correlation" in out


def test_labellers_print_a_row_for_each_design(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["labellers", "--seeds", "2", "--members", "2"]) == 0
    assert "| 40%, 30%; 4,000; three, majority |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--budgets", "40", "20"], "must ascend"),
        (["--budgets", "9999"], "has 200 rows"),
        (["--seeds", "0"], "at least 1"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["active_learning", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line
