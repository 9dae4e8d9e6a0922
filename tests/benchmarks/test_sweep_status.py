"""The benchmark's sweep is a real one, the same on each storage, and its figures are those of whole commands."""

import json

import optuna
import pytest

from benchmarks import made_sweep, sweep_status
from benchmarks.made_sweep import make_sweep
from benchmarks.sweep_status import Took, main, print_table, time_command
from sweeps.records import results
from sweeps.study import open_study

optuna.logging.set_verbosity(optuna.logging.WARNING)


def summary(sweep):
    return [
        (row.number, row.state, row.values, row.params, row.group, row.retry_of, row.superseded, row.folder.name)
        for row in open_study(sweep.folder).trials()
    ]


def test_the_same_rows_lie_in_a_journal_and_in_a_database(tmp_path):
    journal = make_sweep(tmp_path / "journal" / "s", 30)
    database = make_sweep(tmp_path / "database" / "s", 30, storage=f"sqlite:///{tmp_path}/study.db")
    assert summary(journal) == summary(database)
    rows = journal.trials()
    assert len(results(rows)) == 30
    assert {row.state for row in rows} == {"completed", "pruned", "failed", "running"}
    assert all(len(row.metrics) == made_sweep.METRICS for row in rows if row.state == "completed")
    assert all(len(row.intermediate_values) == made_sweep.VALIDATIONS for row in rows)


def test_a_journal_holds_the_history_of_its_rows_line_by_line(tmp_path):
    sweep = make_sweep(tmp_path / "s", 20)
    lines = [json.loads(line) for line in (sweep.folder / "study.journal").read_text().splitlines()]
    reports = sum(line["op_code"] == 7 for line in lines)  # Optuna's JournalOperation.SET_TRIAL_INTERMEDIATE_VALUE
    assert reports == len(sweep.trials()) * made_sweep.VALIDATIONS


def test_a_command_that_fails_stops_the_benchmark(tmp_path):
    with pytest.raises(SystemExit, match="holds no sweep"):
        time_command(["sweep", "status", f"folder={tmp_path}"])


def test_ratios_are_those_of_processor_time_within_a_round(capsys):
    took = {sweep_status.START: [Took(1.0, 0.1), Took(9.0, 0.2)], "journal": [Took(2.0, 0.5), Took(20.0, 1.0)]}
    print_table(took)
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.split() == ["journal", "11.00", "s", "2.00", "to", "20.00", "s", "0.75", "s", "5.0"]


@pytest.mark.slow
def test_the_command_prints_each_storage_and_writes_the_figures(tmp_path, capsys):
    main(["--trials", "12", "--rounds", "1", "--json", str(tmp_path / "figures.json")])
    printed = capsys.readouterr().out
    names = [sweep_status.START, "journal, 10 trials", "journal, 12 trials", "sqlite, 10 trials", "sqlite, 12 trials"]
    assert list(json.loads((tmp_path / "figures.json").read_text())) == names
    assert all(name in printed for name in names)
