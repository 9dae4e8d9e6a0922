"""The page: whole without a network, true to the study, and readable with any number of trials."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from sweeps.report.page import report_page
from sweeps.report.write import write_report_files


class Collector(HTMLParser):
    """Collects the cells of every table row, and checks that tags are balanced."""

    VOID = frozenset({"meta", "br", "use", "path"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if any(tag in ("td", "th") for tag in self.open[-3:]):
            self.rows[-1][-1] += data


def parse(page: str) -> Collector:
    collector = Collector()
    collector.feed(page)
    assert collector.open == []
    return collector


def test_the_page_needs_no_network(planted_page: str) -> None:
    without_namespaces = re.sub(r'xmlns(:xlink)?="[^"]*"', "", planted_page)
    assert not re.search(r"https?://|src=|@import|<link", without_namespaces)


def test_the_table_of_trials_holds_the_numbers_of_the_study(planted_page: str, planted: Any) -> None:
    rows = {row[0]: row for row in parse(planted_page).rows if len(row) > 9}
    study = planted.sweep.study()
    heads = rows["trial"]
    for trial in study.trials:
        if trial.number == 73:  # replaced by its retry
            assert "73" not in rows
            continue
        row = dict(zip(heads, rows[str(trial.number)], strict=True))
        assert row["module.optimizer.lr"] == f"{trial.params['module.optimizer.lr']:.4g}"
        if trial.value is not None and trial.state.name == "COMPLETE":
            assert row["valid/partial_auc ↑"] == f"{trial.value:.4f}"
    assert dict(zip(heads, rows["75"], strict=True))["state"] == "running"
    assert dict(zip(heads, rows["75"], strict=True))["valid/partial_auc ↑"] == "(0.6100)"


def test_what_crashed_is_shown_with_its_last_lines_and_cannot_inject_markup(planted_page: str) -> None:
    assert "OutOfMemoryError: &lt;planted&gt; &amp; quoted" in planted_page
    assert "<pre>step 7\nKilled &lt;9&gt;</pre>" in planted_page
    assert "<planted>" not in planted_page
    assert "It was tried again." in planted_page


def test_the_page_ends_in_its_conclusions(planted_page: str) -> None:
    last = planted_page.rindex("<section>")
    assert planted_page[last:].startswith("<section><h2>What can be said</h2>")
    assert "clipping=norm reaches a higher" in planted_page[last:]


def test_importance_says_how_many_sets_it_rests_on(planted_page: str) -> None:
    assert "Functional ANOVA over 24 completed sets of parameters" in planted_page
    assert "module.clipping.threshold: " in planted_page  # refused, or shown with its condition


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_trials_make_a_page_too(make_sweep: Any, count: int) -> None:
    toy = make_sweep(seeds=1)
    params = {"module.optimizer.lr": 1e-3, "clipping": "none", "imbalance": "none"}
    for group in range(count):
        toy.complete(group, 0, {**params, "clipping": ("none", "value")[group]}, 0.5 + group / 10)
    page = report_page(toy.records, toy.definition)
    parse(page)
    assert f"{count} completed sets of parameters are too few to judge importance" in page


def test_several_objectives_add_the_front(make_sweep: Any) -> None:
    toy = make_sweep(
        seeds=1,
        pruner="none",
        sampler="nsga2",
        objectives={"valid/partial_auc": "maximize", "valid/log_loss": "minimize"},
    )
    params = {"module.optimizer.lr": 1e-3, "clipping": "none", "imbalance": "none"}
    for group, values in enumerate([(0.9, 0.5), (0.8, 0.3), (0.7, 0.4)]):
        toy.complete(group, 0, params, values)
    page = report_page(toy.records, toy.definition)
    assert "<h2>Pareto front</h2><figure>" in page
    assert "2 of 3 completed trials are beaten by none: 0, 1." in page


def test_both_files_are_written_whole_and_again(make_sweep: Any, tmp_path: Path) -> None:
    toy, target = make_sweep(), tmp_path / "elsewhere"
    toy.prune(0, 0, {"module.optimizer.lr": 1e-3, "clipping": "none", "imbalance": "none"}, 0.2)
    for _ in range(2):
        files = write_report_files(toy.records, toy.definition, folder=target)
    assert sorted(path.name for path in target.iterdir()) == ["report.html", "trials.csv"]
    assert files.html.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert len(files.csv.read_text(encoding="utf-8").splitlines()) == 2
