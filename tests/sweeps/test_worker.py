import json
import os
import signal
import time

import pytest

from nines.run_folder import RunFolder, RunStatus
from sweeps.records import results
from tests.sweeps.conftest import lives, wait_until
from tests.sweeps.fake_training import completions_of, steps_of


def test_a_worker_finishes_exactly_the_trials_asked_for_and_keeps_their_figures(make_sweep, start_worker):
    sweep = make_sweep(trials=4)
    assert start_worker(sweep).wait(60) == 0
    trials = sweep.trials()
    assert [trial.state for trial in trials] == ["completed"] * 4
    for trial in trials:
        assert trial.value == pytest.approx(1 - (trial.params["x"] - 0.3) ** 2)
        assert trial.metrics["cost"] == trial.params["x"]
        assert steps_of(trial.folder) == [1, 2, 3]


def test_trials_run_in_processes_that_share_what_the_worker_loaded_and_log_apart(make_sweep, start_worker):
    sweep = make_sweep(trials=2)
    start_worker(sweep).wait(60)
    logs = [RunFolder(trial.folder).log.read_text() for trial in sweep.trials()]
    assert [log.count("overrides") for log in logs] == [1, 1]
    assert [(trial.folder / "loaded").read_text() for trial in sweep.trials()] == ["True", "True"]
    pids = {RunStatus.read(RunFolder(trial.folder)).pid for trial in sweep.trials()}
    assert len(pids) == 2


def test_trials_get_base_parameters_objective_and_seed_in_this_order(make_sweep, start_worker):
    sweep = make_sweep(trials=1, train=["steps=2"])
    start_worker(sweep).wait(60)
    trial = sweep.trials()[0]
    line = RunFolder(trial.folder).log.read_text().splitlines()[0]
    assert line == f"overrides steps=2 x={trial.params['x']!r} objective=score objective_mode=max seed=0"


def test_a_trial_that_raises_is_recorded_with_its_log_and_stops_nothing(make_sweep, start_worker):
    sweep = make_sweep(space={"x": "choice(0.1, 0.2, 0.3)", "mode": "choice(normal, raise)"}, sampler="grid", trials=6)
    assert start_worker(sweep).wait(60) == 0
    trials = sweep.trials()
    failed = [trial for trial in trials if trial.params["mode"] == "raise"]
    assert {trial.state for trial in failed} == {"failed"}
    assert {trial.reason for trial in failed} == {"ZeroDivisionError: the loss divided by nothing"}
    assert all("ZeroDivisionError: the loss divided by nothing" in trial.log_tail for trial in failed)
    assert sum(trial.state == "completed" for trial in trials) == 3
    assert len(trials) == 6, "an exception would come again, so it is not retried"


def test_an_error_of_ours_fails_the_trial_with_its_first_line_and_no_traceback(make_sweep, start_worker):
    sweep = make_sweep(trials=1, train=["mode=refuse"])
    start_worker(sweep).wait(60)
    trial = sweep.trials()[0]
    assert trial.reason == "3 rows are broken"
    assert "Traceback" not in "\n".join(trial.log_tail)


@pytest.mark.parametrize(
    ("mode", "reason"),
    [("silent", "its process ended with exit code 0 and state 'running'"), ("nan", "without a finite value of score")],
)
def test_a_trial_that_does_not_say_a_finite_objective_has_failed(make_sweep, start_worker, mode, reason):
    sweep = make_sweep(trials=1, train=[f"mode={mode}"])
    start_worker(sweep).wait(60)
    assert sweep.trials()[0].state == "failed"
    assert reason in sweep.trials()[0].reason


def test_a_trial_killed_from_outside_is_retried_from_its_checkpoint(make_sweep, start_worker):
    sweep = make_sweep(trials=1, train=["mode=killed_once"])
    start_worker(sweep).wait(60)
    first, second = sweep.trials()
    assert (first.state, first.reason, first.superseded) == ("failed", "its process was killed by SIGKILL", True)
    assert (second.state, second.retry_of, second.attempt) == ("completed", first.number, 1)
    assert second.params == first.params
    assert second.folder == first.folder
    assert steps_of(second.folder) == [1, 2, 3]


def test_retries_are_limited(make_sweep, start_worker):
    sweep = make_sweep(trials=1, train=["mode=killed", "steps=9"], retries=2)
    assert start_worker(sweep).wait(60) == 0
    assert [trial.state for trial in sweep.trials()] == ["failed"] * 3
    assert [trial.superseded for trial in sweep.trials()] == [True, True, False]


def test_two_workers_never_overshoot(make_sweep, start_worker):
    sweep = make_sweep(trials=12, seeds=2)
    workers = [start_worker(sweep) for _ in range(3)]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    trials = sweep.trials()
    assert sorted((trial.group, trial.seed) for trial in trials) == [(g, s) for g in range(12) for s in range(2)]
    assert all(completions_of(trial.folder) == 1 for trial in trials)
    assert len({trial.params["x"] for trial in trials}) == 12


def test_interrupted_trials_keep_their_row_and_their_steps_and_cost_no_retry(make_sweep, start_worker):
    sweep = make_sweep(trials=1, train=["steps=20", "pause=0.1"], retries=0)
    worker = start_worker(sweep)
    folder = sweep.folder / "trials" / "0000"
    wait_until((folder / "steps.txt").exists)
    worker.send_signal(signal.SIGINT)
    assert worker.wait(30) == 130
    trial = sweep.trials()[0]
    assert (trial.state, trial.reason) == ("interrupted", "interrupted")
    done = steps_of(folder)
    assert 1 <= len(done) < 20
    assert start_worker(sweep).wait(60) == 0
    assert [trial.state for trial in sweep.trials()] == ["completed"]
    assert sorted(set(steps_of(folder))) == list(range(1, 21))
    assert len(steps_of(folder)) <= 21


def test_the_trial_of_a_killed_worker_dies_with_it_and_its_trial_is_finished_by_the_next(make_sweep, start_worker):
    sweep = make_sweep(trials=2, train=["steps=30", "pause=0.1"])
    worker = start_worker(sweep)
    folder = RunFolder(sweep.folder / "trials" / "0000")
    wait_until((folder.path / "steps.txt").exists)
    child = RunStatus.read(folder).pid
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    wait_until(lambda: not lives(child), seconds=5)
    lost = steps_of(folder.path)
    time.sleep(0.3)
    assert steps_of(folder.path) == lost, "an orphan went on training"
    assert start_worker(sweep).wait(60) == 0
    rows = results(sweep.trials())
    assert [row.state for row in rows] == ["completed", "completed"]
    assert [completions_of(row.folder) for row in rows] == [1, 1]
    assert len(steps_of(folder.path)) <= 31


def test_a_run_that_ended_while_its_worker_died_counts_as_what_it_became(make_sweep, start_worker):
    sweep = make_sweep(trials=1, train=["steps=12", "pause=0.1"])
    worker = start_worker(sweep)
    folder = RunFolder(sweep.folder / "trials" / "0000")
    wait_until((folder.path / "steps.txt").exists)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    wait_until(lambda: not lives(RunStatus.read(folder).pid), seconds=5)
    folder.metrics.write_text(json.dumps({"metrics": {"score": 0.75}}))
    RunStatus("completed").write(folder)
    assert start_worker(sweep).wait(60) == 0
    assert [(trial.state, trial.value) for trial in sweep.trials()] == [("completed", 0.75)]


def test_a_worker_stops_with_its_launcher(make_sweep, start_worker):
    sweep = make_sweep(trials=1, train=["steps=100", "pause=0.1"])
    # This test's process is no worker's launcher but process 1 is never its parent, so it is as if that had ended.
    worker = start_worker(sweep, "--launcher", "1")
    assert worker.wait(30) in (-signal.SIGTERM, 130)


def test_a_worker_of_an_array_is_called_by_its_task(make_sweep, start_worker, monkeypatch):
    for name, value in {"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3"}.items():
        monkeypatch.setenv(name, value)
    sweep = make_sweep(trials=1)
    start_worker(sweep).wait(60)
    assert "worker 3 of toy" in (sweep.folder / "worker.log").read_text()
