import os
import signal

import pytest

from sweeps import orders as orders_module
from sweeps.cancel import clear_cancelled, mark_cancelled
from sweeps.life_cycle import CANCELLED
from sweeps.orders import STOPPED, CancelledMark, LocalOrders, Order


@pytest.fixture
def signals():
    """Handlers as they were, afterwards."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_stops_and_the_second_stops_at_once(make_sweep, signals, number):
    orders = LocalOrders(make_sweep()).install()
    assert orders.look() is Order.WORK
    os.kill(os.getpid(), number)
    assert orders.look() is Order.STOP
    os.kill(os.getpid(), number)
    assert orders.look() is Order.STOP_AT_ONCE
    assert orders.conclude(lambda: True) == STOPPED


def test_cancelling_is_one_wish_together_with_the_signal_that_it_sends(make_sweep, monkeypatch, signals):
    monkeypatch.setattr(orders_module, "FOLDER_SECONDS", 0.0)
    sweep = make_sweep()
    orders = LocalOrders(sweep).install()
    assert orders.look() is Order.WORK
    mark_cancelled(sweep)
    assert orders.look() is Order.STOP
    os.kill(os.getpid(), signal.SIGTERM)
    assert orders.look() is Order.STOP
    clear_cancelled(sweep)
    assert orders.look() is Order.STOP, "who has begun to stop goes on to stop"


def test_a_mark_in_the_study_alone_is_seen(make_sweep):
    sweep = make_sweep()
    sweep.storage.set_study_user_attr(sweep.study_id, CANCELLED, True)
    assert CancelledMark(sweep).look()


def test_marks_are_looked_at_no_more_often_than_is_cheap(make_sweep, monkeypatch):
    sweep = make_sweep()
    asked = []
    monkeypatch.setattr(sweep.storage, "get_study_user_attrs", lambda study_id: asked.append(study_id) or {})
    mark = CancelledMark(sweep)
    assert not any(mark.look() for _ in range(100))
    assert len(asked) == 1
