import time

import pytest

from slurm.commands import SystemCommands
from slurm.queue import Queue
from sweeps.jobs import JobRecord, read_jobs, view_jobs, write_jobs
from tests.fake_slurm import FakeSlurm


def record(number, *, tasks=3, over=False):
    return JobRecord(
        id=number, tasks=tasks, trials_per_task=1, signal_seconds=120, submitted=time.time(), host="login", over=over
    )


def test_the_line_says_where_workers_run_and_why_they_wait(make_sweep):
    sweep, slurm = make_sweep(), FakeSlurm()
    write_jobs(sweep, [record("7", tasks=4)])
    for task, state in enumerate(("RUNNING", "PENDING", "PENDING", "TIMEOUT")):
        slurm.add(f"7_{task}", state)
    (view,) = view_jobs(sweep, Queue(slurm))
    assert view.line() == "job 7: 1 running on node1, 2 pending (Resources), 1 ended"
    assert view.alive == 3


def test_all_submissions_are_asked_about_in_one_command(make_sweep):
    sweep, slurm = make_sweep(), FakeSlurm()
    write_jobs(sweep, [record("7"), record("20"), record("30", over=True)])
    for array in ("7", "20"):
        for task in range(3):
            slurm.add(f"{array}_{task}")
    assert [view.record.id for view in view_jobs(sweep, Queue(slurm))] == ["7", "20"]
    assert [command[0] for command in slurm.commands] == ["squeue"]


def test_a_sweep_without_jobs_asks_nobody(make_sweep):
    slurm = FakeSlurm()
    assert view_jobs(make_sweep(), Queue(slurm)) == []
    assert slurm.commands == []


def test_a_machine_without_slurm_says_that_it_cannot_know(make_sweep, monkeypatch, tmp_path):
    sweep = make_sweep()
    write_jobs(sweep, [record("7", tasks=2)])
    monkeypatch.setenv("PATH", str(tmp_path))
    (view,) = view_jobs(sweep, Queue(SystemCommands(patience=0.0)))
    assert view.line().startswith("job 7: 2 workers, about which SLURM cannot be asked (there is no command 'squeue'")
    # Who cannot be asked may well live.
    assert view.alive == 2


@pytest.mark.parametrize("extra", [{}, {"of_a_later_version": 1}])
def test_records_survive_the_storage(make_sweep, extra):
    sweep = make_sweep()
    write_jobs(sweep, [record("7"), record("9", over=True)])
    stored = sweep.storage.get_study_user_attrs(sweep.study_id)["jobs"]
    sweep.storage.set_study_user_attr(sweep.study_id, "jobs", [{**one, **extra} for one in stored])
    assert [(found.id, found.over) for found in read_jobs(sweep)] == [("7", False), ("9", True)]
