"""`nines report` on a real sweep folder, through the command line."""

import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from apps.cli import main
from apps.report import write_report
from nines.errors import SweepError
from sweeps.definition import parse_definition
from sweeps.study import create_study


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    definition = parse_definition(
        {
            "name": "toy",
            "question": "Is more better?",
            "space": {"lr": "interval(0.0, 1.0)"},
            "objectives": {"valid/auroc": "maximize"},
            "trials": 2,
        }
    )
    opened = create_study(tmp_path / "runs" / "sweep" / definition.folder_name, definition)
    study = opened.study(sampler=optuna.samplers.RandomSampler(seed=0))
    for group in range(2):
        trial = study.ask()
        definition.space.suggest(trial)
        trial.set_user_attr("group", group)
        study.tell(trial, 0.5 + group / 10)
    return opened.folder


def test_the_command_writes_both_files_and_prints_where(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "sweep=toy", f"runs={sweep.parents[1]}"]) == 0
    printed = capsys.readouterr().out.split()
    assert printed == [str(sweep / "report.html"), str(sweep / "trials.csv")]
    assert "Is more better?" in (sweep / "report.html").read_text(encoding="utf-8")
    assert len((sweep / "trials.csv").read_text(encoding="utf-8").splitlines()) == 3


def test_it_takes_the_words_that_nines_sweep_report_takes(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = f"runs={sweep.parents[1]}"
    for words in (["sweep=quick", "name=toy", runs], [f"folder={sweep}", f"storage=journal:{sweep}/study.journal"]):
        assert main(["report", *words]) == main(["sweep", "report", *words]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[:2] == lines[2:] == [str(sweep / "report.html"), str(sweep / "trials.csv")]


def test_an_unknown_word_names_the_nearest(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "sweeps=toy"]) == 2
    assert "did you mean 'sweep'" in capsys.readouterr().err


def test_the_report_may_lie_elsewhere(sweep: Path, tmp_path: Path) -> None:
    html, csv = write_report(sweep, output=tmp_path / "out")
    assert (html.parent, csv.parent) == (tmp_path / "out", tmp_path / "out")
    assert not (sweep / "report.html").exists()


def test_a_folder_without_a_sweep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SweepError, match="holds no sweep"):
        write_report(tmp_path)


def test_a_report_never_imports_torch(sweep: Path) -> None:
    code = (
        "import sys, pathlib, apps.report; apps.report.write_report(pathlib.Path(sys.argv[1])); "
        "assert 'torch' not in sys.modules and 'lightning' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(sweep)], check=True)
