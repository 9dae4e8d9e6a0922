import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apps.pipeline.stages import (
    RECORD,
    Stage,
    StageRecord,
    StopAsked,
    Unfinished,
    duration,
    end_if_asked,
    fingerprints,
    is_done,
    run_stages,
)
from nines import stop_requests
from nines.errors import DataError
from tests.trainings import fork, wait_for


def stage(
    name: str, work: Callable[[Path], dict[str, Any]], *, needs: tuple[str, ...] = (), settings: int = 0
) -> Stage:
    return Stage(name, f"does {name}", settings={"value": settings}, needs=needs, seconds=1, work=work)


class Work:
    """Counts its calls, and fails as often as it is told to."""

    def __init__(self, *, failures: int = 0) -> None:
        self.calls, self.failures = 0, failures

    def __call__(self, folder: Path) -> dict[str, Any]:
        self.calls += 1
        if self.calls <= self.failures:
            raise DataError("no such luck")
        return {"calls": self.calls}


def silent(line: str) -> None:
    pass


def test_what_is_done_is_skipped_and_its_figures_come_back(tmp_path: Path) -> None:
    works = Work(), Work()
    stages = [stage("first", works[0]), stage("second", works[1], needs=("first",))]
    lines: list[str] = []
    once = run_stages(stages, tmp_path, say=silent)
    again = run_stages(stages, tmp_path, say=lines.append)
    assert [work.calls for work in works] == [1, 1]
    assert once == again
    assert again["second"].figures == {"calls": 1}
    assert all("done before" in line for line in lines)


def test_a_failure_keeps_what_came_before_and_the_next_call_goes_on_there(tmp_path: Path) -> None:
    first, second, third = Work(), Work(failures=1), Work()
    stages = [stage("first", first), stage("second", second), stage("third", third)]
    with pytest.raises(Unfinished) as raised:
        run_stages(stages, tmp_path, say=silent)
    assert raised.value.stage.name == "second"
    assert isinstance(raised.value.__cause__, DataError)
    assert third.calls == 0
    run_stages(stages, tmp_path, say=silent)
    assert (first.calls, second.calls, third.calls) == (1, 2, 1)


def test_a_stage_that_was_killed_finds_what_it_left(tmp_path: Path) -> None:
    def work(folder: Path) -> dict[str, Any]:
        if not (folder / "half").exists():
            (folder / "half").write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
        return {"found": (folder / "half").read_text()}

    stages = [stage("only", work)]
    assert wait_for(fork(lambda: bool(run_stages(stages, tmp_path, say=silent) is None))) == -signal.SIGKILL
    assert not is_done(stages[0], tmp_path, fingerprint=fingerprints(stages)["only"])
    assert run_stages(stages, tmp_path, say=silent)["only"].figures == {"found": "half"}


def test_other_settings_redo_the_stage_and_all_that_need_it_and_keep_the_old_results(tmp_path: Path) -> None:
    works = {name: Work() for name in ("first", "needing", "apart")}

    def stages(settings: int) -> list[Stage]:
        return [
            stage("first", works["first"], settings=settings),
            stage("needing", works["needing"], needs=("first",)),
            stage("apart", works["apart"]),
        ]

    run_stages(stages(1), tmp_path, say=silent)
    (tmp_path / "first" / "weights").write_text("old")
    run_stages(stages(2), tmp_path, say=silent)
    assert {name: work.calls for name, work in works.items()} == {"first": 2, "needing": 2, "apart": 1}
    (kept,) = tmp_path.glob("first.was-*")
    assert (kept / "weights").read_text() == "old"
    assert not (tmp_path / "first" / "weights").exists()
    run_stages(stages(1), tmp_path, say=silent)
    assert len(list(tmp_path.glob("first.was-*"))) == 2


def test_seconds_add_up_over_attempts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr("apps.pipeline.stages.time.monotonic", lambda: float(next(clock)))
    stages = [stage("only", Work(failures=1))]
    with pytest.raises(Unfinished):
        run_stages(stages, tmp_path, say=silent)
    assert run_stages(stages, tmp_path, say=silent)["only"].seconds == 20


def test_a_request_to_stop_ends_the_pipeline_before_the_next_stage(tmp_path: Path) -> None:
    second = Work()

    def ask(folder: Path) -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGINT)
        return {}

    with stop_requests.listening(), pytest.raises(Unfinished) as raised:
        run_stages([stage("first", ask), stage("second", second)], tmp_path, say=silent)
    assert isinstance(raised.value.__cause__, StopAsked)
    assert raised.value.stage.name == "second"
    assert second.calls == 0
    end_if_asked()  # outside of the listening block nothing is asked any more


def test_a_damaged_record_says_what_to_remove(tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text(json.dumps({"fingerprint": "a", "more": 1}))
    with pytest.raises(DataError, match=f"remove the folder {tmp_path}"):
        StageRecord.read(tmp_path)


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (99.4, "99 s"), (100, "1 min 40 s"), (599, "9 min 59 s"), (1500, "25 min")]
)
def test_durations_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said
