"""The table in the terminal: best first, the trial that `best` takes in bold, unfinished values in parentheses."""

import io
from typing import Any

from optuna.trial import TrialState
from rich.console import Console

from sweeps.report.summary import ranked, shortest_names, summary_table


def text_of(table: Any) -> str:
    output = io.StringIO()
    Console(width=250, file=output).print(table)
    return output.getvalue()


def test_completed_trials_come_first_from_best_to_worst(planted: Any) -> None:
    rows = ranked(planted.records, planted.definition)
    values = [record.value for record in rows[:72]]
    assert values == sorted(values, reverse=True)
    assert [record.number for record in rows[72:]] == [72, 74, 75]  # 73 was retried


def test_less_is_better_turns_the_order(make_sweep: Any) -> None:
    toy = make_sweep(objectives={"valid/log_loss": "minimize"})
    params = {"module.optimizer.lr": 1e-3, "clipping": "none", "imbalance": "none"}
    for group, value in enumerate((0.5, 0.3, 0.4)):
        toy.complete(group, 0, params, value)
    assert [record.value for record in ranked(toy.records, toy.definition)] == [0.3, 0.4, 0.5]


def test_the_table_shows_the_numbers_and_the_counts(planted: Any) -> None:
    text = text_of(summary_table(planted.records, planted.definition))
    best = max(record.value for record in planted.records if record.state == "completed")
    assert f"{best:.4f}" in text
    assert "(0.6100)" in text
    assert "72 completed, 1 failed, 1 pruned, 1 running" in text
    assert "OutOfMemoryError: <planted> & quoted" in text


def test_a_limit_is_announced(planted: Any) -> None:
    text = text_of(summary_table(planted.records, planted.definition, limit=3))
    assert "the best 3 of 75 are shown" in text


def test_brackets_in_a_reason_are_text_and_not_markup(make_sweep: Any) -> None:
    toy = make_sweep()
    trial = toy.begin(0, 0, {"module.optimizer.lr": 1e-3, "clipping": "none", "imbalance": "none"}, reason="[red]x[/]")
    toy.sweep.study().tell(trial, state=TrialState.FAIL)
    assert "[red]x[/]" in text_of(summary_table(toy.records, toy.definition))


def test_no_trial_is_said(make_sweep: Any) -> None:
    toy = make_sweep()
    assert "no trial yet" in text_of(summary_table(toy.records, toy.definition))


def test_names_are_as_short_as_they_can_be_told_apart() -> None:
    keys = ["module.optimizer.lr", "clipping", "module.clipping.max_norm", "module.loss.power", "module.other.power"]
    assert shortest_names(keys) == ["lr", "clipping", "max_norm", "loss.power", "other.power"]
    assert shortest_names(["gamma", "module.loss.gamma"]) == ["gamma", "loss.gamma"]


def test_a_pruned_trial_needs_no_note(make_sweep: Any) -> None:
    toy = make_sweep()
    trial = toy.begin(0, 0, {"module.optimizer.lr": 1e-3, "clipping": "none", "imbalance": "none"})
    assert trial is not None
    assert "note" not in text_of(summary_table(toy.records, toy.definition))
