"""The loop with processes and orders that a test plays."""

import itertools

import pytest
from filelock import FileLock

from nines.files import write_json
from nines.run_folder import RunFolder, RunStatus
from nines.run_owner import take_over
from sweeps.claims import Claim
from sweeps.life_cycle import take
from sweeps.liveness import Jobs
from sweeps.orders import Order
from sweeps.trial import TrialJob
from sweeps.work_loop import Pace, Worker
from tests.sweeps.conftest import completed

ALONE = Jobs(None)


class PlayedTrial:
    """Runs for `polls` looks, then ends with `state` and `code`; one that is asked to stop ends as interrupted."""

    name = "played"

    def __init__(self, job, *, polls, state, code, stubborn):
        self.job, self.polls, self.state, self.code, self.stubborn = job, polls, state, code, stubborn
        self.asked = self.killed = 0
        RunStatus("running").write(RunFolder(job.folder))

    def poll(self):
        self.polls -= 1
        if self.polls > 0:
            return None
        if self.state == "completed":
            write_json(RunFolder(self.job.folder).metrics, {"metrics": {"score": 0.5}})
        RunStatus(self.state, message="as played").write(RunFolder(self.job.folder))
        return self.code

    def ask_to_stop(self):
        self.asked += 1
        if not self.stubborn:
            self.polls, self.state, self.code = 1, "interrupted", 0

    def kill(self):
        self.killed += 1
        self.polls, self.state, self.code = 1, "running", -9


class Stage:
    """Starts played trials and gives orders, one a look; the last one stands."""

    def __init__(self, *orders, polls=1, state="completed", code=0, stubborn=False):
        self.orders = itertools.chain(orders, itertools.repeat(orders[-1] if orders else Order.WORK))
        self.play = {"polls": polls, "state": state, "code": code, "stubborn": stubborn}
        self.trials = []
        self.most = self.interruptions = 0
        self.left = None

    def start(self, job):
        self.trials.append(PlayedTrial(job, **self.play))
        self.most = max(self.most, sum(trial.polls > 0 for trial in self.trials))
        return self.trials[-1]

    def look(self):
        return next(self.orders)

    def signals(self):
        return Order.WORK

    def interrupted(self):
        self.interruptions += 1

    def conclude(self, work_left):
        self.left = work_left()
        return 77


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("sweeps.work_loop.POLL_SECONDS", 0.001)


def work(sweep, stage, **options):
    pace = Pace(**{"look": 0.0, **options.pop("pace", {})})
    return Worker(sweep, stage, stage, jobs=ALONE, pace=pace, **options).work()


def states(sweep):
    return [trial.state for trial in sweep.trials()]


def test_slots_run_side_by_side_each_under_a_claim_of_its_own(make_sweep):
    sweep, stage = make_sweep(trials=5), Stage(polls=5)
    assert work(sweep, stage, slots=2) == 0
    assert states(sweep) == ["completed"] * 5
    assert stage.most == 2
    assert {trial.job.claim.slot for trial in stage.trials} == {0, 1}
    assert len({trial.job.token for trial in stage.trials}) == 5


def test_a_worker_whose_job_runs_again_elsewhere_ends_but_not_as_if_the_job_were_complete(make_sweep):
    sweep, stage = make_sweep(trials=2), Stage(polls=3)
    came_back = Claim.mine(job="7_0", restarts=1)
    assert take(sweep, came_back, jobs=ALONE) is not None
    assert work(sweep, stage, me=Claim.mine(job="7_0")) == 143
    assert stage.trials == []


def test_a_stop_asks_each_trial_once_gives_it_back_and_concludes(make_sweep):
    sweep, stage = make_sweep(trials=4), Stage(Order.WORK, Order.STOP, polls=10**6)
    assert work(sweep, stage, slots=2) == 77
    assert [trial.asked for trial in stage.trials] == [1, 1]
    assert states(sweep) == ["interrupted", "interrupted"]
    assert stage.left is True
    assert stage.interruptions == 0, "it had asked for them"


def test_a_trial_that_does_not_stop_in_time_is_killed_and_goes_on_later(make_sweep):
    sweep, stage = make_sweep(trials=1), Stage(Order.WORK, Order.STOP, polls=10**6, stubborn=True)
    assert work(sweep, stage, pace={"save": 0.02}) == 77
    assert stage.trials[0].killed == 1
    assert states(sweep) == ["interrupted"]


def test_a_stop_at_once_kills(make_sweep):
    sweep = make_sweep(trials=1)
    stage = Stage(Order.WORK, Order.STOP, Order.STOP_AT_ONCE, polls=10**6, stubborn=True)
    assert work(sweep, stage) == 77
    assert (stage.trials[0].asked, stage.trials[0].killed) == (1, 1)


def test_while_the_job_is_being_killed_nothing_is_taken_or_stopped_and_failures_are_not_recorded(make_sweep):
    sweep = make_sweep(trials=2)
    hold = [Order.WORK, *[Order.HOLD] * 20, Order.LEAVE]
    stage = Stage(*hold, polls=5, state="failed", code=1)
    me = Claim.mine(job="7_0")
    assert work(sweep, stage, me=me) == 143
    assert len(stage.trials) == 1
    assert stage.trials[0].asked == 0
    assert states(sweep) == ["running"]
    row = sweep.storage.get_all_trials(sweep.study_id)[0]
    assert Claim.read(row.user_attrs["claim"]) == stage.trials[0].job.claim


def test_while_the_job_is_being_killed_a_completion_is_recorded(make_sweep):
    sweep = make_sweep(trials=2)
    assert work(sweep, Stage(Order.WORK, *[Order.HOLD] * 20, Order.LEAVE, polls=5)) == 143
    assert states(sweep) == ["completed"]


def test_a_killed_trial_is_recorded_only_after_a_moment_in_which_the_job_may_be_killed_too(make_sweep):
    sweep = make_sweep(trials=1)
    stage = Stage(Order.WORK, Order.WORK, *[Order.HOLD] * 20, Order.LEAVE, state="running", code=137)
    assert work(sweep, stage, pace={"doubt": 100.0}) == 143
    assert states(sweep) == ["running"]
    assert sweep.storage.get_all_trials(sweep.study_id)[0].user_attrs.get("retry") is None


def test_a_trial_that_somebody_else_interrupted_is_told_to_the_orders(make_sweep):
    sweep = make_sweep(trials=1)
    stage = Stage(Order.WORK, Order.WORK, Order.STOP, state="interrupted")
    assert work(sweep, stage) == 77
    assert stage.interruptions == 1


def test_a_worker_ends_when_others_hold_what_is_left_for_too_long(make_sweep, capsys):
    sweep = make_sweep(trials=1)
    from sweeps.life_cycle import take

    take(sweep)
    assert work(sweep, Stage(), pace={"idle": 0.05}) == 0
    assert "others hold what is left" in capsys.readouterr().out
    assert states(sweep) == ["running"]


def test_what_became_of_a_trial_that_was_taken_over_is_dropped(make_sweep, capsys):
    sweep = make_sweep(trials=1)
    stage = Stage(polls=2)
    taken = []
    started = stage.start

    def start(job):
        from sweeps.settling import finish

        if not taken:
            taken.append(job)
            finish(sweep, job.number, completed(0.25))
        return started(job)

    stage.start = start
    assert work(sweep, stage) == 0
    assert sweep.trials()[0].value == 0.25
    assert "belongs to another worker now" in capsys.readouterr().out


def test_a_local_worker_signs_in_and_out_and_one_in_a_job_does_neither(make_sweep):
    sweep = make_sweep(trials=1)
    seen = []

    class Looking(Stage):
        def look(self):
            seen.append(len(list((sweep.folder / "workers").glob("*.json"))))
            return super().look()

    work(sweep, Looking(polls=2))
    assert set(seen) == {1}
    assert list((sweep.folder / "workers").glob("*.json")) == []
    seen.clear()
    work(make_sweep(trials=2), Looking(polls=2), me=Claim.mine(job="7_0"))
    assert set(seen) == {0}


def test_a_worker_whose_trial_was_taken_over_before_it_began_writes_nothing_in_its_folder(make_sweep, monkeypatch):
    sweep, stage = make_sweep(trials=1), Stage()
    tokens = []

    def taken_over(*arguments, **options):
        job = take(*arguments, **options)
        if not tokens and isinstance(job, TrialJob):
            tokens.append(take_over(job.folder))
            stage.orders = iter([Order.STOP])
        return job

    monkeypatch.setattr("sweeps.work_loop.take", taken_over)
    assert work(sweep, stage) == 77
    assert stage.trials == []
    assert RunStatus.read(RunFolder(sweep.trials()[0].folder)) is None


class Signalled(Stage):
    """A stage whose signals come while the worker waits for the sweep's lock, which another process holds."""

    def __init__(self, sweep, *, after, **play):
        super().__init__(**play)
        self.lock, self.after, self.asked, self.told = FileLock(sweep.lock), after, 0, False

    def look(self):
        if self.trials and not self.lock.is_locked and not self.told:
            self.lock.acquire()
        return Order.STOP if self.told else Order.WORK

    def signals(self):
        self.asked += 1
        self.told = self.told or self.asked > self.after
        return Order.STOP if self.told else Order.WORK


@pytest.mark.parametrize("busy", [True, False], ids=["while it takes a trial", "while it records one"])
def test_a_notice_reaches_ranks_of_other_slots_while_the_worker_waits_for_the_lock(make_sweep, monkeypatch, busy):
    monkeypatch.setattr("sweeps.waiting.LOOK_SECONDS", 0.01)
    monkeypatch.setattr("sweeps.work_loop.WAIT_SECONDS", 0.1)
    sweep = make_sweep(trials=3)
    stage = Signalled(sweep, after=3, polls=10**6)
    begin = stage.start

    def start(job):
        trial = begin(job)
        if len(stage.trials) == 1 and not busy:
            trial.polls = 2
        if busy:
            stage.lock.acquire()
        return trial

    stage.start = start
    conclude = stage.conclude
    stage.conclude = lambda work_left: stage.lock.release() or conclude(work_left)
    assert work(sweep, stage, slots=2, me=Claim.mine(job="7_0")) == 77
    assert stage.trials[-1].asked >= 1
    assert stage.left
    assert all(trial.state in ("running", "interrupted") for trial in sweep.trials()), "nothing was given up"
