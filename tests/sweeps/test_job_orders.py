import pytest

from slurm import requeueing
from slurm.current import CurrentJob
from slurm.notices import Notices
from slurm.queue import Queue
from sweeps import job_orders, orders
from sweeps.job_orders import FAILED, TERMINATED, JobOrders
from sweeps.life_cycle import CANCELLED
from sweeps.orders import Order
from sweeps.waiting import Disturbed
from tests.fake_slurm import FakeSlurm


@pytest.fixture
def slurm(monkeypatch):
    monkeypatch.setattr(orders, "FOLDER_SECONDS", 0.0)
    slurm = FakeSlurm()
    slurm.add("7_0")
    return slurm


@pytest.fixture
def make(make_sweep, slurm):
    def make(*, requeue=True, seconds_left=None):
        import time

        end = None if seconds_left is None else time.time() + seconds_left
        job = CurrentJob("7_0", "8", "7", 0, end=end)
        notices = Notices(job, signal_seconds=120.0)
        return JobOrders(make_sweep(), notices, job, queue=Queue(slurm), requeue=requeue, say=said.append)

    said = []
    make.said = said
    return make


def requeued(slurm):
    return slurm.jobs["7_0"].restarts == 1


@pytest.fixture
def killed_soon(monkeypatch):
    """SLURM is quick to kill a job that it has put back."""
    monkeypatch.setattr(job_orders, "HOLD_SECONDS", 0.05)
    monkeypatch.setattr(job_orders, "POLL_SECONDS", 0.01)


def test_a_notice_stops_the_trials_and_puts_the_job_back_while_work_is_left(make, slurm, killed_soon):
    told = make()
    assert told.look() is Order.WORK
    told.notices.warned = True
    assert told.look() is Order.STOP
    assert not requeued(slurm)
    assert told.conclude(lambda: True) == TERMINATED
    assert requeued(slurm)


def test_a_time_limit_that_is_near_is_a_notice(make):
    assert make(seconds_left=1000).look() is Order.WORK
    assert make(seconds_left=100).look() is Order.STOP


def test_ranks_that_were_warned_alone_mean_the_whole_job(make):
    told = make()
    told.interrupted()
    assert told.look() is Order.STOP


def test_without_work_the_job_is_complete(make, slurm):
    told = make()
    told.notices.warned = True
    assert told.conclude(lambda: False) == 0
    assert not requeued(slurm)


def test_a_job_that_may_not_go_back_says_that_work_is_left(make, slurm):
    told = make(requeue=False)
    assert told.conclude(lambda: True) == 0
    assert not requeued(slurm)
    assert "requeue=false" in make.said[-1]


def test_a_cancelled_sweep_stops_and_never_goes_back(make, make_sweep, slurm):
    told = make()
    (make_sweep().folder / CANCELLED).touch()
    assert told.look() is Order.STOP
    assert told.conclude(lambda: True) == 0
    assert not requeued(slurm)


def test_sigterm_goes_before_all_else_and_only_long_after_the_job_leaves(make, monkeypatch):
    told = make()
    told.notices.warned = True
    assert told.look() is Order.STOP
    told.notices.terminated = True
    assert told.look() is Order.HOLD
    now = job_orders.time.monotonic()
    monkeypatch.setattr(job_orders.time, "monotonic", lambda: now + 599)
    assert told.look() is Order.HOLD
    monkeypatch.setattr(job_orders.time, "monotonic", lambda: now + 601)
    assert told.look() is Order.LEAVE


def test_a_job_that_cannot_be_put_back_fails_and_says_so(make, slurm, monkeypatch):
    monkeypatch.setattr(requeueing, "PATIENCE_SECONDS", -1.0)
    slurm.unreachable = True
    assert make().conclude(lambda: True) == FAILED
    assert "does not answer" in make.said[-1]


def test_sigterm_while_the_storage_is_asked_for_work_keeps_the_job_out_of_the_queue(make, slurm, killed_soon):
    told = make()
    told.notices.warned = True

    def work_left():
        told.notices.terminated = True
        return True

    assert told.conclude(work_left) == TERMINATED
    assert not requeued(slurm)
    assert "not put back" in make.said[-1]


def test_a_job_whose_storage_does_not_answer_at_its_end_goes_back(make, slurm, killed_soon):
    told = make()
    told.notices.warned = True

    def work_left():
        raise Disturbed("the storage does not answer")

    assert told.conclude(work_left) == TERMINATED
    assert requeued(slurm)


def test_signals_are_told_while_the_study_cannot_be_asked_for_its_mark(make, monkeypatch):
    told = make()

    def asked(study_id):
        told.notices.warned = True
        raise Disturbed("the storage does not answer")

    monkeypatch.setattr(told._cancelled.sweep.storage, "get_study_user_attrs", asked)
    assert told.look() is Order.WORK
    assert told.signals() is Order.STOP
    assert told.look() is Order.STOP
