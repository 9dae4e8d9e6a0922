import pytest

from nines.errors import SchedulerError
from slurm.queue import Queue
from slurm.requeueing import PATIENCE_SECONDS, GoingBack, put_back
from tests.fake_slurm import FakeSlurm


class World:
    """A job and a clock of its own."""

    def __init__(self):
        self.slurm, self.now, self.terminated = FakeSlurm(), 0.0, False
        self.slurm.add("7")

    def sleep(self, seconds):
        self.now += seconds

    def put_back(self):
        return put_back(
            Queue(self.slurm), "7", terminated=lambda: self.terminated, sleep=self.sleep, clock=lambda: self.now
        )

    @property
    def requests(self):
        return [command for command in self.slurm.commands if command[0] == "scontrol"]


def test_a_running_job_goes_back_with_one_request():
    world = World()
    assert world.put_back() is GoingBack.ASKED
    assert world.requests == [["scontrol", "requeue", "7"]]


@pytest.mark.parametrize("state", ["CANCELLED", "COMPLETING"])
def test_a_job_that_the_controller_ends_is_left_alone_before_any_signal_came(state):
    world = World()
    world.slurm.set("7", state)
    assert world.put_back() is GoingBack.ENDED
    assert world.requests == []


def test_sigterm_between_two_tries_ends_the_tries():
    world = World()
    world.slurm.unreachable = True

    def sleep(seconds):
        world.now += seconds
        world.terminated = world.now > 5

    world.sleep = sleep
    assert world.put_back() is GoingBack.ENDED
    assert world.now < 6
    world.slurm.unreachable = False
    assert world.requests == []


def test_sigterm_while_the_controller_answers_is_seen():
    world = World()
    answer = world.slurm._squeue

    def squeue(words):
        world.terminated = True
        return answer(words)

    world.slurm._squeue = squeue
    assert world.put_back() is GoingBack.ENDED
    assert world.requests == []


def test_an_unreachable_controller_is_asked_until_patience_ends():
    world = World()
    world.slurm.unreachable = True
    with pytest.raises(SchedulerError, match="does not answer"):
        world.put_back()
    assert PATIENCE_SECONDS < world.now < PATIENCE_SECONDS + 5


def test_a_controller_that_comes_back_is_asked_again():
    world = World()
    world.slurm.unreachable = True

    def sleep(seconds):
        world.now += seconds
        world.slurm.unreachable = world.now < 10

    world.sleep = sleep
    assert world.put_back() is GoingBack.ASKED


def test_a_refusal_is_told_at_once():
    world = World()
    del world.slurm.jobs["7"]
    with pytest.raises(SchedulerError, match="Invalid job id"):
        world.put_back()
    assert world.now == 0
