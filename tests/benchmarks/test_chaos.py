"""The judges of the chaos run: each must find what it is there for, on rows and traces made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest

from benchmarks.chaos.resumes import Resumes, examine
from benchmarks.chaos.trace import Event, Trace, read_trace
from benchmarks.chaos.verdict import check_cancelled, check_metrics, check_resumes, check_rows
from sweeps.trial import TrialRecord


def row(number: int, group: int, state: str = "completed", **changes: Any) -> TrialRecord:
    fields: dict[str, Any] = {
        "number": number,
        "state": state,
        "params": {"x": group / 10},
        "values": None,
        "intermediate_values": {},
        "metrics": {"loss": group + 0.25} if state == "completed" else {},
        "group": group,
        "seed": 0,
        "attempt": 0,
        "retry_of": None,
        "superseded": False,
        "folder": Path(f"trials/{group:04d}"),
        "started": None,
        "completed": None,
        "reason": "its worker died" if state == "failed" else "",
        "log_tail": (),
        "host": "node1",
    }
    return TrialRecord(**{**fields, **changes})


RETRIED = [row(0, 0, "failed", superseded=True), row(1, 1), row(2, 0, attempt=1, retry_of=0)]


def test_a_sweep_whose_dead_trial_was_retried_once_breaks_no_rule() -> None:
    assert check_rows(RETRIED, trials=2, retries=1) == []


def test_a_set_that_failed_after_all_its_retries_is_accounted_for() -> None:
    rows = [row(0, 0, "failed", superseded=True), row(1, 0, "failed", attempt=1, retry_of=0)]
    assert check_rows(rows, trials=1, retries=1) == []
    assert "given up after 2 attempts" in check_rows(rows, trials=1, retries=2)[0]


def test_a_row_without_a_set_of_parameters_is_missed_by_nobody() -> None:
    assert check_rows([*RETRIED, row(3, -1, "failed")], trials=2, retries=1) == []


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([row(0, 0)], "never ran: [1]"),
        ([row(0, 0), row(1, 1), row(2, 2)], "nobody asked for: [2]"),
        ([row(0, 0), row(1, 1), row(2, 1, attempt=1, retry_of=1)], "set 1: completed 2 times"),
        ([row(0, 0), row(1, 1, "running")], "set 1: rows [1] are not finished"),
        ([row(0, 0), row(1, 1, params={"x": 0.0})], "1 sets of parameters came twice"),
        ([RETRIED[0], RETRIED[1], row(2, 0, attempt=1)], "retries no failed row (None)"),
        ([row(0, 0, "failed", reason="", superseded=True), *RETRIED[1:]], "failed without a reason"),
        ([*RETRIED[:2], row(2, 0, attempt=1, retry_of=0, params={"x": 7})], "different parameters"),
        ([*RETRIED[:2], row(2, 0, attempt=1, retry_of=0, folder=Path("other"))], "different run folders"),
        ([row(0, 0), row(1, 1), row(2, 1, "failed")], "set 1: 2 rows stand for it: [1, 2]"),
        ([row(0, 0), row(1, 1, "pruned")], "set 1: ended as pruned"),
    ],
)
def test_each_broken_rule_of_the_rows_is_found(rows: list[TrialRecord], words: str) -> None:
    assert any(words in line for line in check_rows(rows, trials=2, retries=1))


CANCEL = {"time": 100.0, "blow": "cancel", "target": "job 7_0 on node1", "said": "", "hit": True}


def start(job: str, moment: float, restarts: int = 0) -> Event:
    return Event("start", 0, f"at{moment:.0f}", "", moment, job, restarts=restarts)


def test_a_cancelled_job_that_starts_again_is_found_soon_or_late() -> None:
    first = start("7_0", 90.0)
    assert len(check_cancelled([CANCEL], [first, start("7_0", 110.0, restarts=1)])) == 1
    assert len(check_cancelled([CANCEL], [first, start("7_0", 140.0)])) == 1
    assert check_cancelled([CANCEL], [start("7_0", 140.0)]) == [
        "job 7_0 started attempt at140 40 s after it was cancelled"
    ]


@pytest.mark.parametrize("later", [start("7_0", 110.0), start("7_1", 140.0), start("7_0", 80.0)])
def test_ranks_that_were_starting_and_other_jobs_keep_the_rule_of_cancelling(later: Event) -> None:
    assert check_cancelled([CANCEL], [start("7_0", 90.0), later]) == []


def test_a_cancel_that_was_not_heard_forbids_nothing() -> None:
    unheard = [{**CANCEL, "said": "scancel: error: Unable to contact"}, {**CANCEL, "hit": False, "target": ""}]
    assert check_cancelled(unheard, [start("7_0", 140.0, restarts=1)]) == []


def test_metrics_are_compared_to_the_last_bit_and_by_name() -> None:
    rows = [row(0, 0), row(1, 1)]
    good = {0: {"loss": 0.25}, 1: {"loss": 1.25}}
    assert check_metrics(rows, good) == []
    assert "set 1: 1 metrics differ" in check_metrics(rows, {**good, 1: {"loss": 1.2500000000000002}})[0]
    assert "set 1: 1 metrics differ" in check_metrics(rows, {**good, 1: {"loss": 1.25, "auroc": 0.5}})[0]
    assert check_metrics(rows, {0: good[0]}) == ["set 1: no metrics to compare"]


def run(attempt: str, *marks: str) -> list[Event]:
    """Events of one attempt from marks such as `start 0 a`: kind, step, and which file last.ckpt was then."""
    split = [(mark + " ").split(" ") for mark in marks]
    return [Event(kind, int(step), attempt, file) for kind, step, file, *_ in split]  # type: ignore[arg-type]


FIRST = run("one", "start 0", "step 1", "step 2", "save 2", "step 3 a", "step 4 a", "save 4 a", "step 5 b")


def test_a_resume_at_the_newest_checkpoint_does_only_later_steps_again() -> None:
    found = examine([*FIRST, *run("two", "start 4 b", "step 5 b")], every_n_steps=2)
    assert found == Resumes(attempts=2, redone=1, longest=1)


def test_a_save_that_was_finished_right_before_the_kill_counts() -> None:
    # The kill came after the rename, before the next event: the file is new at the start of the next attempt.
    found = examine([*FIRST[:-1], *run("two", "start 4 b")], every_n_steps=2)
    assert found == Resumes(attempts=2)


def test_a_save_that_was_cut_short_leaves_the_one_before() -> None:
    found = examine([*FIRST[:-1], *run("two", "start 2 a")], every_n_steps=2)
    assert found == Resumes(attempts=2, redone=2, longest=2)


@pytest.mark.parametrize(
    ("second", "lost", "words"),
    [
        (run("two", "start 2 a"), 2, "although step 4 had been saved"),
        (run("two", "start 0"), 4, "although step 4 had been saved"),
        (run("two", "start 5 b"), 0, "starts at step 5, its checkpoint holds step 4"),
        (run("two", "start 4 b") + run("one", "save 6 b"), 0, "attempt one saved at step 6"),
    ],
)
def test_each_bad_resume_is_found(second: list[Event], lost: int, words: str) -> None:
    found = examine([*FIRST, *second], every_n_steps=2)
    assert found.lost == lost
    assert any(words in line for line in found.violations)


def test_checkpoints_that_come_too_seldom_are_found() -> None:
    events = run("one", "start 0", *(f"step {step}" for step in range(1, 9))) + run("two", "start 0")
    assert "does 8 steps again" in examine(events, every_n_steps=5).violations[0]
    assert examine(events, every_n_steps=7).violations == []


def test_a_completed_trial_without_a_trace_proves_nothing() -> None:
    assert check_resumes({0: Resumes(attempts=1), 1: Resumes()}, [row(0, 0), row(1, 1)]) == [
        "set 1: completed without a trace"
    ]


def test_a_trace_names_the_step_and_tells_one_checkpoint_from_the_next(tmp_path: Path) -> None:
    trainer = L.Trainer(default_root_dir=tmp_path, accelerator="cpu", logger=False, enable_checkpointing=False)
    trace = Trace()
    module: Any = None
    trace.on_train_start(trainer, module)
    (tmp_path / "checkpoints").mkdir()
    for content in ("first", "second"):
        (tmp_path / "new").write_text(content, encoding="utf-8")
        (tmp_path / "new").rename(tmp_path / "checkpoints" / "last.ckpt")
        trace.on_train_batch_end(trainer, module, None, None, 0)
    with (tmp_path / "trace.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"kind": "st')  # killed while it wrote
    events = read_trace(tmp_path)
    assert [event.kind for event in events] == ["start", "step", "step"]
    assert len({event.checkpoint for event in events}) == 3
    assert {event.attempt for event in events} == {trace.attempt}
