import json

import pytest

from nines.errors import NinesError
from nines.folder_lock import lock_folder
from nines.run_folder import RunFolder, RunStatus
from nines.run_owner import TOKEN_VARIABLE, Superseded, take_over
from sweeps.trial import TrialJob
from sweeps.trial_body import CIRCUMSTANCES, FAILED, INTERRUPTED, load, run_in_folder


@pytest.fixture
def job(tmp_path, monkeypatch):
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", TOKEN_VARIABLE):
        monkeypatch.setenv(name, "")
    folder = RunFolder(tmp_path / "run")
    RunStatus("running", step=7).write(folder)
    return TrialJob(folder.path, (), "journal:/j", "toy", 3, 2, ("score",))


def run(job, train, **options):
    return run_in_folder(job, train, threads=1, **{"lock_seconds": 0.0, **options})


def status(job):
    return RunStatus.read(RunFolder(job.folder))


def raising(error):
    def train(job):
        raise error

    return train


class Interrupted(NinesError):
    exit_code = 130


@pytest.mark.parametrize(
    ("error", "code", "state", "message"),
    [
        (KeyboardInterrupt(), INTERRUPTED, "interrupted", "interrupted"),
        (Interrupted("at step 7"), INTERRUPTED, "interrupted", "at step 7"),
        (NinesError("no rows\nmore"), FAILED, "failed", "no rows"),
        (ValueError("bad\nmore"), FAILED, "failed", "ValueError: bad"),
        (ValueError(), FAILED, "failed", "ValueError: "),
    ],
)
def test_an_end_that_the_training_did_not_write_down_is_written_with_its_step(job, error, code, state, message):
    assert run(job, raising(error)) == code
    assert (status(job).state, status(job).message, status(job).step) == (state, message, 7)


def test_what_the_training_wrote_itself_stands(job):
    def train(job):
        RunStatus("failed", message="its own words").write(RunFolder(job.folder))
        raise ValueError("others")

    assert run(job, train) == FAILED
    assert status(job).message == "its own words"


def test_a_folder_that_another_process_holds_is_circumstances_and_leaves_its_status_alone(job):
    with lock_folder(job.folder):
        assert run(job, lambda job: None) == CIRCUMSTANCES
    assert status(job).state == "running"


@pytest.mark.parametrize(("error", "code"), [(Superseded("gone"), CIRCUMSTANCES), (ValueError("because"), FAILED)])
def test_a_process_that_lost_its_folder_ends_without_a_word(job, monkeypatch, error, code):
    monkeypatch.setenv(TOKEN_VARIABLE, take_over(job.folder))

    def train(job):
        take_over(job.folder)
        raise error

    assert run(job, train) == code
    assert status(job).state == "running"


def test_a_process_that_had_lost_its_folder_before_it_began_neither_clears_nor_trains(job, monkeypatch):
    monkeypatch.setenv(TOKEN_VARIABLE, take_over(job.folder))
    take_over(job.folder)
    being_written = job.folder / ".status.json.1.tmp"
    being_written.touch()
    assert run(job, raising(ValueError("it trained"))) == CIRCUMSTANCES
    assert being_written.exists()


def test_leftovers_of_a_killed_process_are_cleared_before_training(job):
    leftover = job.folder / ".status.json.1.tmp"
    leftover.touch()
    seen = []
    assert run(job, lambda job: seen.append(leftover.exists())) == 0
    assert seen == [False]


def test_load_finds_the_function_that_a_name_means():
    assert load("json:dumps") is json.dumps
