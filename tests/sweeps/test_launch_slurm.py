import json
import shlex
from pathlib import Path

import pytest

from nines.errors import SchedulerError
from slurm.current import CurrentJob
from slurm.notices import Notices
from slurm.options import SlurmOptions
from slurm.queue import Queue
from slurm.settings import SlurmSettings
from sweeps import orders
from sweeps.cancel import is_cancelled, mark_cancelled
from sweeps.job_orders import JobOrders
from sweeps.jobs import read_jobs, view_jobs
from sweeps.launch_slurm import SlurmLauncher, WorkerPlan, worker_job
from sweeps.life_cycle import CANCELLED
from sweeps.orders import Order
from sweeps.study import create_study
from tests.fake_slurm import FakeSlurm
from tests.sweeps.conftest import RUN_TRIAL, definition


@pytest.fixture
def slurm():
    return FakeSlurm()


def launcher(sweep, slurm, *, workers=4, **options):
    plan = WorkerPlan(options=SlurmOptions(**options), run_trial=RUN_TRIAL, workers=workers, threads=2)
    return SlurmLauncher(sweep, plan, queue=Queue(slurm))


def test_one_array_is_submitted_and_remembered_with_its_script(make_sweep, slurm):
    sweep = make_sweep(trials=8)
    submission = launcher(sweep, slurm).submit(left=8)
    assert submission.record.id == "7"
    assert "#SBATCH --array=0-3\n" in slurm.scripts["7"]
    assert submission.script.read_text() == slurm.scripts["7"]
    assert [record.id for record in read_jobs(sweep)] == ["7"]
    assert json.loads((sweep.folder / "jobs" / "7.json").read_text())["tasks"] == 4
    # SLURM opens the log itself, and ends a job whose log it cannot open.
    assert (sweep.folder / "workers").is_dir()


def test_the_batch_step_is_a_worker_that_finds_its_settings(make_sweep, slurm):
    sweep = make_sweep()
    made = launcher(sweep, slurm, trials_per_job=2, signal_seconds=60)
    made.submit(left=3)
    words = shlex.split(slurm.scripts["7"].splitlines()[-1])
    assert words[:4] == ["exec", made.plan.options.job_python, "-m", "sweeps.worker"]
    assert words[words.index("--slots") + 1] == "2"
    assert words[words.index("--threads") + 1] == "2"
    settings = SlurmSettings.read(Path(words[words.index("--slurm") + 1]))
    assert settings.signal_seconds == 60


def test_there_are_no_more_workers_than_open_trials_and_trials_that_share_a_job_need_fewer(make_sweep, slurm):
    sweep = make_sweep(trials=8)
    assert launcher(sweep, slurm).submit(left=2).record.tasks == 2
    slurm.set("7", "COMPLETED")
    assert launcher(sweep, slurm, trials_per_job=3).submit(left=8).record.tasks == 2


def test_submitting_again_tops_up_the_missing_workers_only(make_sweep, slurm):
    sweep = make_sweep(trials=8)
    launcher(sweep, slurm).submit(left=8)
    again = launcher(sweep, slurm).submit(left=8)
    assert again.record is None
    assert [view.alive for view in again.alive] == [4]
    slurm.set("7_1", "NODE_FAIL")
    slurm.set("7_2", "RUNNING")
    topped = launcher(sweep, slurm).submit(left=8)
    assert topped.record.tasks == 1
    assert [record.id for record in read_jobs(sweep)] == ["7", topped.record.id]


def test_a_requeued_or_preempted_worker_is_not_missing(make_sweep, slurm):
    sweep = make_sweep(trials=8)
    launcher(sweep, slurm, workers=1).submit(left=8)
    slurm.set("7", "PENDING", restarts=3, reason="BeginTime")
    assert launcher(sweep, slurm, workers=1).submit(left=8).record is None


def test_arrays_that_are_over_are_not_asked_about_again(make_sweep, slurm):
    sweep = make_sweep(trials=8)
    launcher(sweep, slurm, workers=1).submit(left=8)
    slurm.set("7", "COMPLETED")
    second = launcher(sweep, slurm, workers=1).submit(left=8).record.id
    slurm.commands.clear()
    assert [view.record.id for view in view_jobs(sweep, Queue(slurm))] == [second]
    assert not any("7_0" in word for command in slurm.commands for word in command)


def test_nothing_is_submitted_or_recorded_while_nobody_knows_how_many_workers_live(make_sweep, slurm):
    sweep = make_sweep(trials=8)
    launcher(sweep, slurm).submit(left=8)
    slurm.unreachable = True
    with pytest.raises(SchedulerError, match="cannot tell how many workers toy has"):
        launcher(sweep, slurm).submit(left=8)
    assert len(slurm.scripts) == 1
    assert len(read_jobs(sweep)) == 1


def test_a_refused_array_is_not_recorded(make_sweep, slurm):
    sweep = make_sweep()
    slurm.unreachable = True
    with pytest.raises(SchedulerError):
        launcher(sweep, slurm).submit(left=3)
    assert read_jobs(sweep) == []


def test_an_array_that_arrived_without_an_answer_is_found_by_its_comment_and_not_submitted_twice(make_sweep, slurm):
    sweep = make_sweep(trials=8)
    slurm.unanswered = 1
    with pytest.raises(SchedulerError, match="Socket timed out"):
        launcher(sweep, slurm).submit(left=8)
    assert read_jobs(sweep) == []
    assert launcher(sweep, slurm).missing(8)[0] == 0
    again = launcher(sweep, slurm).submit(left=8)
    assert again.record is None
    assert [(record.id, record.tasks) for record in read_jobs(sweep)] == [("7", 4)]
    assert launcher(sweep, slurm).submit(left=8).record is None
    slurm.set("7", "COMPLETED")
    assert launcher(sweep, slurm).submit(left=8).record.tasks == 4


def test_arrays_of_other_sweeps_are_not_taken_for_lost_ones(make_sweep, slurm, tmp_path):
    other = create_study(tmp_path / "toy-2", definition(name="toy-2", trials=8))
    launcher(other, slurm).submit(left=8)
    sweep = make_sweep(trials=8)
    assert launcher(sweep, slurm).submit(left=8).record.tasks == 4


def test_submitting_takes_back_a_cancel(make_sweep, slurm):
    sweep = make_sweep()
    sweep.storage.set_study_user_attr(sweep.study_id, CANCELLED, True)
    (sweep.folder / CANCELLED).touch()
    launcher(sweep, slurm).submit(left=3)
    assert not (sweep.folder / CANCELLED).exists()
    assert not sweep.storage.get_study_user_attrs(sweep.study_id)[CANCELLED]


def test_a_start_right_after_a_cancel_replaces_the_workers_that_still_save(make_sweep, slurm, monkeypatch):
    sweep = make_sweep(trials=8)
    launcher(sweep, slurm).submit(left=8)
    slurm.set("7", "RUNNING")
    job = CurrentJob("7_0", "8")
    worker = JobOrders(sweep, Notices(job), job, queue=Queue(slurm), requeue=True, say=lambda _: None)
    assert worker.look() is Order.WORK
    slow = JobOrders(sweep, Notices(job), job, queue=Queue(slurm), requeue=True, say=lambda _: None)
    assert slow.look() is Order.WORK
    monkeypatch.setattr(orders, "FOLDER_SECONDS", 0.0)
    monkeypatch.setattr(orders, "STUDY_SECONDS", 0.0)
    mark_cancelled(sweep)
    assert worker.look() is Order.STOP
    submission = launcher(sweep, slurm).submit(left=8)
    assert submission.record.tasks == 4
    assert submission.ending == 4
    assert slow.look() is Order.STOP, "one that did not look in between ends as well, or there were too many"
    assert (worker.conclude(lambda: True), slow.conclude(lambda: True)) == (0, 0)
    new = JobOrders(sweep, Notices(job), job, queue=Queue(slurm), requeue=True, say=lambda _: None)
    assert new.look() is Order.WORK
    assert launcher(sweep, slurm).submit(left=8).record is None


def test_a_submission_that_is_refused_leaves_the_sweep_cancelled(make_sweep, slurm):
    sweep = make_sweep()
    mark_cancelled(sweep)
    slurm.unreachable = True
    with pytest.raises(SchedulerError):
        launcher(sweep, slurm).submit(left=3)
    assert is_cancelled(sweep)


def test_the_script_is_known_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv("NINES_CACHE", "somewhere")
    monkeypatch.chdir(tmp_path)
    plan = WorkerPlan(options=SlurmOptions(), run_trial=RUN_TRIAL, workers=2, nodes=2, tasks_per_node=4)
    job = worker_job(tmp_path / "new", plan, tasks=2)
    assert list(tmp_path.iterdir()) == []
    assert (job.nodes, job.tasks_per_node, job.array) == (2, 4, 2)
    # Relative folders mean the one of the shell that submits.
    assert job.exports["NINES_CACHE"] == str(tmp_path / "somewhere")
    assert job.folder == tmp_path
