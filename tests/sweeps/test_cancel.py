import dataclasses

import pytest

from nines.files import write_json
from slurm.queue import Queue
from sweeps import cancel as module
from sweeps.cancel import cancel, clear_cancelled, live_workers
from sweeps.claims import Claim
from sweeps.jobs import write_jobs
from sweeps.life_cycle import CANCELLED
from tests.fake_slurm import FakeSlurm
from tests.sweeps.test_jobs import record


@pytest.fixture
def sweep(make_sweep):
    made = make_sweep()
    write_jobs(made, [record("7", tasks=3)])
    return made


@pytest.fixture
def slurm(monkeypatch):
    """Two running workers and one that waits; time passes without waiting."""
    made = FakeSlurm()
    for task, state in enumerate(("RUNNING", "RUNNING", "PENDING")):
        made.add(f"7_{task}", state)
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(module, "RECORD_SECONDS", -119.9)
    monkeypatch.setattr(module, "KILL_SECONDS", 0.1)
    return made


def scancels(slurm):
    return [command for command in slurm.commands if command[0] == "scancel"]


def test_waiting_workers_go_at_once_and_running_ones_when_they_have_saved(sweep, slurm, monkeypatch):
    told = []

    def saved(line):
        told.append(line)
        for task in (0, 1):  # as workers that see the mark
            assert (sweep.folder / CANCELLED).exists()
            slurm.set(f"7_{task}", "COMPLETED")

    left = cancel(sweep, queue=Queue(slurm), tell=saved)
    assert not left
    assert slurm.jobs["7_2"].state == "CANCELLED"
    assert [slurm.jobs[f"7_{task}"].state for task in (0, 1)] == ["COMPLETED", "COMPLETED"]
    assert len(scancels(slurm)) == 1
    assert "2 workers to save their trials" in told[0]


def test_workers_that_do_not_stop_are_ended_by_slurm(sweep, slurm):
    assert not cancel(sweep, queue=Queue(slurm))
    assert [job.state for job in slurm.jobs.values()] == ["CANCELLED"] * 3
    assert "--state=PENDING" in scancels(slurm)[0]
    assert "--state=PENDING" not in scancels(slurm)[1]


def test_a_start_while_a_cancel_still_waits_keeps_its_new_jobs(sweep, slurm):
    def started_again(line):
        slurm.add("8_0", "RUNNING")
        write_jobs(sweep, [record("7", tasks=3), record("8", tasks=1)])

    assert not cancel(sweep, queue=Queue(slurm), tell=started_again)
    assert slurm.jobs["7_0"].state == "CANCELLED"
    assert slurm.jobs["8_0"].state == "RUNNING"


def test_without_a_scheduler_the_mark_alone_tells_the_workers(sweep, slurm):
    slurm.unreachable = True
    left = cancel(sweep, queue=Queue(slurm))
    assert [view.record.id for view in left.jobs] == ["7"]
    assert "does not answer" in left.jobs[0].line()
    assert (sweep.folder / CANCELLED).exists()
    assert sweep.storage.get_study_user_attrs(sweep.study_id)[CANCELLED] is True


def test_another_sweep_of_the_cluster_is_left_alone(sweep, slurm):
    slurm.add("8_0", "RUNNING")
    cancel(sweep, queue=Queue(slurm))
    assert slurm.jobs["8_0"].state == "RUNNING"


def test_the_folder_of_another_machine_is_not_made_here(sweep, tmp_path):
    elsewhere = dataclasses.replace(sweep, folder=tmp_path / "elsewhere" / "toy")
    cancel(elsewhere, queue=Queue(FakeSlurm()))
    assert not (tmp_path / "elsewhere").exists()
    assert sweep.storage.get_study_user_attrs(sweep.study_id)[CANCELLED] is True


def test_a_start_takes_both_marks_away(sweep):
    cancel(sweep, queue=Queue(FakeSlurm()))
    clear_cancelled(sweep)
    assert not (sweep.folder / CANCELLED).exists()
    assert not sweep.storage.get_study_user_attrs(sweep.study_id)[CANCELLED]


def test_workers_in_jobs_are_not_signalled_like_those_of_this_machine(sweep):
    """SIGTERM tells a worker in a job that SLURM is about to kill it."""
    claim = dataclasses.replace(Claim.mine(), job="7_0")
    write_json(sweep.folder / "workers" / "one.json", claim.as_mapping())
    assert live_workers(sweep) == []
    write_json(sweep.folder / "workers" / "two.json", Claim.mine().as_mapping())
    assert live_workers(sweep) == [Claim.mine()]
