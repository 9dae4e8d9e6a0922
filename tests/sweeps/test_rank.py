import os

import pytest

from nines.errors import NinesError
from nines.run_folder import RunFolder, RunStatus
from nines.run_owner import TOKEN_VARIABLE, take_over
from sweeps import rank as rank_module
from sweeps.rank import rank_number, run_rank
from sweeps.trial import TrialJob
from sweeps.trial_body import CIRCUMSTANCES

HERE = "tests.sweeps.test_rank"


class Interrupted(NinesError):
    exit_code = 130


def interrupted(job):
    raise Interrupted("stopped at step 4")


def raises(job):
    raise ZeroDivisionError("by nothing\nsecond line")


def refuses(job):
    raise NinesError("no such column\nmore")


def writes_threads(job):
    (job.folder / "threads").write_text(os.environ["OMP_NUM_THREADS"])


@pytest.fixture
def job(tmp_path, monkeypatch):
    monkeypatch.setattr(rank_module, "RANK_ZERO_SECONDS", 0.3)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", TOKEN_VARIABLE):
        monkeypatch.setenv(name, "")
    job = TrialJob(tmp_path / "run", ("x=1",), "journal:/j", "toy", 3, 2, ("score",))
    job.write()
    return job


def run(job, name, rank):
    return run_rank(job.file, f"{HERE}:{name}", rank=rank, threads=3)


def status(job):
    return RunStatus.read(RunFolder(job.folder))


@pytest.mark.parametrize(
    ("variables", "number"),
    [({}, 0), ({"RANK": "2", "SLURM_PROCID": "0"}, 2), ({"SLURM_PROCID": "3"}, 3), ({"RANK": ""}, 0)],
)
def test_torchruns_word_on_the_rank_goes_before_that_of_a_step_around(variables, number):
    assert rank_number(variables) == number


@pytest.mark.parametrize("rank", [0, 1])
def test_an_interruption_is_an_end_in_good_order_for_every_rank(job, rank):
    assert run(job, "interrupted", rank) == 0
    assert (status(job).state if rank == 0 else status(job)) == ("interrupted" if rank == 0 else None)


def test_rank_0_says_why_it_failed(job):
    assert run(job, "raises", 0) == 1
    assert (status(job).state, status(job).message) == ("failed", "ZeroDivisionError: by nothing")


def test_another_rank_leaves_the_word_to_rank_0_if_that_one_speaks(job):
    RunStatus("failed", message="of rank 0").write(RunFolder(job.folder))
    assert run(job, "raises", 1) == 1
    assert status(job).message == "of rank 0"


@pytest.mark.parametrize(
    ("name", "message"), [("raises", "ZeroDivisionError: by nothing"), ("refuses", "no such column")]
)
def test_another_rank_says_itself_why_it_failed_if_rank_0_hangs(job, name, message):
    RunStatus("running", step=3).write(RunFolder(job.folder))
    assert run(job, name, 1) == 1
    assert (status(job).state, status(job).message) == ("failed", f"rank 1: {message}")


def test_a_rank_that_lost_the_folder_says_nothing(job, monkeypatch):
    RunStatus("running", step=3).write(RunFolder(job.folder))
    monkeypatch.setenv(TOKEN_VARIABLE, take_over(job.folder))
    take_over(job.folder)
    assert run(job, "raises", 1) == 1
    assert run(job, "raises", 0) == CIRCUMSTANCES
    assert status(job).state == "running"


def test_the_threads_are_set_before_the_training_code_is_loaded(job):
    assert run(job, "writes_threads", 1) == 0
    assert (job.folder / "threads").read_text() == "3"
