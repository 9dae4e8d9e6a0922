"""The CSV file holds the study's own numbers, in full."""

import csv
import io
from typing import Any

from sweeps.report.table_csv import trials_csv


def read(toy: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(trials_csv(toy.records, toy.definition))))


def test_every_row_of_the_study_is_one_line_with_its_exact_values(planted: Any) -> None:
    rows = read(planted)
    study = planted.sweep.study()
    assert [int(row["trial"]) for row in rows] == [trial.number for trial in study.trials]
    for row, trial in zip(rows, study.trials, strict=True):
        assert row["module.optimizer.lr"] == repr(trial.params["module.optimizer.lr"])
        assert row["clipping"] == trial.params["clipping"]
        assert row["module.clipping.threshold"] == str(trial.params.get("module.clipping.threshold", ""))
        if row["state"] == "completed":
            assert float(row["valid/partial_auc"]) == trial.value
            assert float(row["test/auroc"]) == 0.5
            assert float(row["seconds"]) == trial.duration.total_seconds()


def test_a_pruned_row_has_a_last_value_and_no_result(planted: Any) -> None:
    row = read(planted)[72]
    assert (row["state"], row["valid/partial_auc"]) == ("pruned", "")
    assert (row["last_step"], row["last_value"], row["reason"]) == ("10", "0.21", "the median pruner stopped it")


def test_a_retried_row_is_listed_and_marked(planted: Any) -> None:
    rows = read(planted)
    assert (rows[73]["state"], rows[73]["superseded"]) == ("failed", "True")
    assert (rows[74]["retry_of"], rows[74]["attempt"], rows[74]["superseded"]) == ("73", "1", "False")


def test_an_empty_sweep_has_a_header_only(make_sweep: Any) -> None:
    toy = make_sweep()
    text = trials_csv(toy.records, toy.definition)
    assert text.startswith("trial,state,")
    assert len(text.splitlines()) == 1
