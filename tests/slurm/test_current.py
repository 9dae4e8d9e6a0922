import pytest

from slurm.current import CurrentJob
from slurm.queue import Queue
from tests.fake_slurm import FakeSlurm


def test_outside_a_job_there_is_none() -> None:
    assert CurrentJob.from_environment({}) is None
    assert CurrentJob.from_environment({"SLURM_JOB_ID": ""}) is None


def test_a_job_is_known_by_its_id() -> None:
    job = CurrentJob.from_environment({"SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "2", "SLURM_CLUSTER_NAME": "lab"})
    assert job == CurrentJob(id="7", raw_id="7", nodes=2, cluster="lab")


def test_a_task_of_an_array_is_known_by_its_number_in_it() -> None:
    # The last task has the id of the array for its own, so the raw id would mean all tasks.
    job = CurrentJob.from_environment(
        {"SLURM_JOB_ID": "7", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3", "SLURM_RESTART_COUNT": "2"}
    )
    assert job == CurrentJob(id="7_3", raw_id="7", array_id="7", array_task=3, restarts=2)


def test_the_end_is_what_slurm_says() -> None:
    job = CurrentJob.from_environment({"SLURM_JOB_ID": "7", "SLURM_JOB_END_TIME": "1000"})
    assert job is not None
    assert job.seconds_left(now=940.0) == 60.0


@pytest.mark.parametrize(("time_left", "end"), [("1:00:00", 4600.0), ("UNLIMITED", None), ("INVALID", None)])
def test_the_end_can_be_asked_for(time_left: str, end: float | None) -> None:
    slurm = FakeSlurm()
    slurm.add("7", "RUNNING", time_left=time_left)
    assert CurrentJob("7", "7").with_end(Queue(slurm), now=1000.0).end == end


def test_a_scheduler_that_cannot_be_asked_leaves_the_end_as_it_was() -> None:
    job = CurrentJob("7", "7", end=50.0)
    assert job.with_end(Queue(FakeSlurm(unreachable=True))) == job
