import json

import pytest

from nines.run_folder import RunFolder, RunStatus
from sweeps.definition import Objective
from sweeps.outcome import log_tail, read_outcome

SCORE = [Objective("score", "maximize")]


def folder_with(tmp_path, state, *, message="", metrics=None, log=""):
    folder = RunFolder(tmp_path)
    RunStatus(state, message=message).write(folder)
    if metrics is not None:
        folder.metrics.write_text(json.dumps({"metrics": metrics}))
    folder.log.write_text(log)
    return folder


def test_a_completed_run_gives_its_objectives_and_all_finite_figures(tmp_path):
    folder = folder_with(tmp_path, "completed", metrics={"score": 0.5, "other": 2, "text": "x", "bad": float("nan")})
    outcome = read_outcome(folder, [Objective("other", "minimize"), *SCORE], exit_code=0)
    assert (outcome.state, outcome.values, outcome.metrics) == ("completed", (2.0, 0.5), {"score": 0.5, "other": 2.0})


@pytest.mark.parametrize("content", ["", "{", '{"figures": {}}'])
def test_metrics_that_cannot_be_read_are_a_failure(tmp_path, content):
    folder = folder_with(tmp_path, "completed")
    folder.metrics.write_text(content)
    assert "cannot be read" in read_outcome(folder, SCORE, exit_code=0).reason


@pytest.mark.parametrize(
    ("state", "exit_code", "stopping", "ended", "retry"),
    [
        ("pruned", 0, False, "pruned", False),
        ("interrupted", 130, True, "interrupted", False),
        ("running", -9, True, "interrupted", False),
        ("running", -9, False, "failed", True),
        ("running", 0, True, "failed", False),
        ("running", 137, False, "failed", True),
        ("running", 9, False, "failed", True),
        ("starting", 1, False, "failed", True),
        ("starting", 75, False, "failed", True),
        ("failed", 137, False, "failed", True),
        ("failed", 1, False, "failed", False),
        ("interrupted", 0, False, "interrupted", False),
        ("completed", 137, False, "completed", False),
        ("failed", 1, True, "failed", False),
        ("starting", None, False, "failed", False),
    ],
)
def test_how_a_process_and_its_status_end_a_trial(tmp_path, state, exit_code, stopping, ended, retry):
    folder = folder_with(tmp_path, state, metrics={"score": 0.5})
    outcome = read_outcome(folder, SCORE, exit_code=exit_code, stopping=stopping)
    assert (outcome.state, outcome.retry) == (ended, retry)


def test_a_kill_is_told_by_its_signal_whoever_saw_it(tmp_path):
    folder = folder_with(tmp_path, "running")
    reasons = {read_outcome(folder, SCORE, exit_code=code).reason for code in (-9, 9, 137)}
    assert reasons == {"its process was killed by SIGKILL"}


@pytest.mark.parametrize(
    ("message", "retry"),
    [
        ("DistBackendError: NCCL error in: ProcessGroupNCCL.cpp", True),
        ("RuntimeError: [../gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:12345", True),
        ("DistNetworkError: The server socket has failed to listen (EADDRINUSE)", True),
        ("ValueError: the threshold is no probability", False),
    ],
)
def test_a_rank_that_complains_of_a_lost_peer_is_tried_again(tmp_path, message, retry):
    outcome = read_outcome(folder_with(tmp_path, "failed", message=message), SCORE, exit_code=1)
    assert (outcome.reason, outcome.retry) == (message, retry)


def test_the_log_tail_keeps_the_last_state_of_a_progress_bar(tmp_path):
    folder = folder_with(tmp_path, "failed", log="first\n" * 50 + "10 %\r90 %\nlast\n")
    assert log_tail(folder, 3) == ("first", "90 %", "last")
