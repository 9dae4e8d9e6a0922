"""The loop of a worker: fills its slots with trials, watches those that run, and writes down how they ended.

No trial can bring a worker down: whatever happens in it happens in processes of its own.
"""

from __future__ import annotations

import dataclasses
import math
import os
import socket
import time

from nines.files import write_json
from nines.run_folder import RunFolder
from nines.run_owner import Superseded, ensure_owned
from sweeps.claims import Claim
from sweeps.life_cycle import Idle, take, work_left
from sweeps.liveness import Jobs
from sweeps.orders import Order, Orders
from sweeps.outcome import Outcome, read_outcome
from sweeps.settling import finish
from sweeps.storage import let_disturb
from sweeps.study import Sweep
from sweeps.trial import TrialJob
from sweeps.trial_process import TrialProcess, TrialStarter
from sweeps.waiting import Disturbed

POLL_SECONDS = 0.05
# A job that is about to end waits no longer than this for others, or for its storage.
WAIT_SECONDS = 5.0
TERMINATED = 143


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pace:
    """How patient a worker is, in seconds.

    Attributes:
        save: How long trials may take to save a checkpoint after they were asked to stop.
        look: Between two looks for a trial when there was none to take.
        idle: After so long without any trial, the worker ends and gives back what it occupies.
        doubt: Between the end of a trial that was killed and the record of it. When a whole job is killed, the worker
            may be the last to hear; it must not blame the trial.
    """

    save: float = 120.0
    look: float = 1.0
    idle: float = math.inf
    doubt: float = 0.0


@dataclasses.dataclass
class _Running:
    """A trial in a slot; times by the monotonic clock."""

    job: TrialJob
    process: TrialProcess
    started: float
    asked: float | None = None
    ended: float | None = None
    exit_code: int | None = None


class Worker:
    """Runs trials of one sweep until none is left or it is told to stop.

    Args:
        sweep: The open sweep.
        starter: Starts trials.
        orders: Tells what to do.
        me: In whose name trials are taken; None: this process, outside of jobs.
        slots: Trials at the same time.
        jobs: What the scheduler says of other workers; None: that of this machine.
        pace: How patient it is.
    """

    def __init__(
        self,
        sweep: Sweep,
        starter: TrialStarter,
        orders: Orders,
        *,
        me: Claim | None = None,
        slots: int = 1,
        jobs: Jobs | None = None,
        pace: Pace | None = None,
    ) -> None:
        self.sweep = sweep
        self.starter = starter
        self.orders = orders
        self.me = me or Claim.mine()
        self.jobs = jobs or Jobs.of_this_machine(own=self.me.job)
        self.pace = pace or Pace()
        self._slots: list[_Running | None] = [None] * slots
        self._look_at = 0.0
        self._idle_since: float | None = None
        self._replaced = False
        self._order, self._looked = Order.WORK, time.monotonic()
        let_disturb(sweep.storage, self._disturbed)

    def work(self) -> int:
        """Run trials until none is left.

        Returns:
            0 when nothing is left to do, 143 when its job runs again elsewhere, else what the orders say.
        """
        signed_in = self.sweep.folder / "workers" / f"{socket.gethostname()}-{os.getpid()}.json"
        if not self.me.job:  # those in jobs are listed by the scheduler
            write_json(signed_in, self.me.as_mapping())
        try:
            return self._loop()
        finally:
            signed_in.unlink(missing_ok=True)

    def _loop(self) -> int:
        while True:
            order = self._order = self.orders.look()
            self._looked = time.monotonic()
            if order is Order.LEAVE:
                return TERMINATED
            if self._free(order):
                continue  # how a trial ended may have changed the orders
            if order is Order.WORK and not self._fill():
                # Code 0 would tell SLURM that the job is complete, which goes on elsewhere.
                return TERMINATED if self._replaced else 0
            if order in (Order.STOP, Order.STOP_AT_ONCE) and not self._busy():
                return self.orders.conclude(lambda: work_left(self.sweep, self.me, jobs=self.jobs))
            time.sleep(POLL_SECONDS)

    def _free(self, order: Order) -> bool:
        """Look after every trial; returns whether any is over."""
        freed = False
        for slot, running in enumerate(self._slots):
            if running is not None and self._tend(running, order):
                self._slots[slot] = None
                self._look_at = 0.0
                freed = True
        return freed

    def _busy(self) -> bool:
        return any(running is not None for running in self._slots)

    def _fill(self) -> bool:
        """Take a trial for each free slot; returns whether there is a reason to stay."""
        now = time.monotonic()
        if now >= self._look_at:
            for slot, running in enumerate(self._slots):
                if running is not None:
                    continue
                try:
                    me = dataclasses.replace(self.me, slot=slot)
                    job = take(self.sweep, me, jobs=self.jobs, disturbed=self._disturbed)
                except Disturbed as error:
                    say(f"no trial taken, the job has something else to do: {error}")
                    return True
                if isinstance(job, TrialJob):
                    self._slots[slot] = self._start(job)
                    continue
                if job is Idle.REPLACED and not self._replaced:
                    say(Idle.REPLACED.value)
                    self._replaced = True
                if job is not Idle.LATER and not self._busy():
                    return False
                self._look_at = now + self.pace.look
                break
        if self._busy():
            self._idle_since = None
            return True
        self._idle_since = now if self._idle_since is None else self._idle_since
        if now - self._idle_since > self.pace.idle:
            say(f"no trial to take for {self.pace.idle:.0f} s; others hold what is left")
            return False
        return True

    def _disturbed(self) -> bool:
        """Whether to stop waiting for the lock or the storage: the ranks must hear of a signal, and then be watched."""
        order = self.orders.signals()
        new = order is not Order.WORK and order is not self._order
        return new or (order is not Order.WORK and time.monotonic() - self._looked > WAIT_SECONDS)

    def _start(self, job: TrialJob) -> _Running | None:
        say(f"trial {job.number}: {' '.join(job.overrides)}")
        started = time.monotonic()
        try:
            # A worker that stood still since it took the trial must not write over what those do who have it now.
            ensure_owned(job.folder, token=job.token)
            process = self.starter.start(job)
        except Superseded as error:
            say(f"trial {job.number}: {error}")
            return None
        say(f"trial {job.number}: {process.name} after {time.monotonic() - started:.3f} s")
        return _Running(job, process, started)

    def _tend(self, running: _Running, order: Order) -> bool:
        """Look after one trial; returns whether it is over and its slot is free."""
        if running.ended is None:
            running.exit_code = running.process.poll()
            if running.exit_code is None:
                self._stop(running, order)
                return False
            running.ended = time.monotonic()
        outcome = read_outcome(
            RunFolder(running.job.folder),
            self.sweep.definition.objectives,
            exit_code=running.exit_code,
            stopping=running.asked is not None,
        )
        if outcome.state == "failed" and outcome.retry and time.monotonic() - running.ended < self.pace.doubt:
            return False
        if outcome.state == "failed" and order is Order.HOLD:
            # What dies while the job is being killed says nothing; the claim stays for the job that comes back.
            say(f"trial {running.job.number}: left as it is ({outcome.reason})")
            return True
        self._record(running, outcome)
        if outcome.state == "interrupted" and running.asked is None:
            self.orders.interrupted()
        return True

    def _stop(self, running: _Running, order: Order) -> None:
        if order not in (Order.STOP, Order.STOP_AT_ONCE):
            return
        now = time.monotonic()
        if running.asked is None:
            running.asked = now
            running.process.ask_to_stop()
        elif order is Order.STOP_AT_ONCE or now - running.asked > self.pace.save:
            running.process.kill()

    def _record(self, running: _Running, outcome: Outcome) -> None:
        number = running.job.number
        spent = (running.ended or time.monotonic()) - running.started
        said = f"{outcome.state}{f' ({outcome.reason})' if outcome.reason else ''}"
        claim = running.job.claim
        try:
            stands = finish(self.sweep, number, outcome, spent=spent, claim=claim, disturbed=self._disturbed)
        except Disturbed as error:
            # The run folder says how it ended, and the claim stays for the job that comes back, or for who looks then.
            say(f"trial {number}: {said}, which is not recorded yet: {error}")
            return
        say(f"trial {number}: {said}" if stands else f"trial {number}: {said}, but it belongs to another worker now")


def say(line: str) -> None:
    """One line with the time on standard output, which is the worker's log."""
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}", flush=True)  # noqa: T201
