"""One run in a job: each end of the ranks and each notice, with a scheduler and an srun that do as the test says."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from nines.files import read_json
from nines.run_folder import RunFolder, RunStatus
from nines.run_owner import take_over
from slurm.current import CurrentJob
from slurm.notices import Notices
from slurm.supervisor import LINGER_SECONDS
from tests.slurm.supervised_job import BUSY, FakeStep, World


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


def test_a_finished_run_ends_the_job_well(folder: RunFolder) -> None:
    def script(step: FakeStep) -> int | None:
        world.says("completed")
        return 0

    world = World(folder, script)
    assert world.run() == 0
    assert not world.requeued


def test_a_killed_rank_after_the_end_does_not_fail_a_finished_run(folder: RunFolder) -> None:
    def script(step: FakeStep) -> int | None:
        world.says("completed")
        return 137

    world = World(folder, script)
    assert world.run() == 0


def test_a_failed_run_fails_the_job_and_is_not_requeued(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    def script(step: FakeStep) -> int | None:
        world.says("failed", "DivergedError: scores are NaN")
        return 1

    world = World(folder, script)
    assert world.run() == 1
    assert not world.requeued
    assert "scores are NaN" in capsys.readouterr().out


@pytest.mark.parametrize(("code", "job"), [(137, 137), (-9, 137), (2, 2), (300, 1)])
def test_ranks_that_die_silently_fail_the_job(folder: RunFolder, code: int, job: int) -> None:
    world = World(folder, lambda step: code)
    assert world.run() == job
    assert len(world.steps) == 1
    # Whoever looks at the folder must not take the run for one that trains, or never began.
    status = RunStatus.read(folder)
    assert status is not None
    assert (status.state, status.message) == ("failed", f"srun ended with {code}")


def test_ranks_that_die_under_a_new_owner_leave_its_status_alone(folder: RunFolder) -> None:
    def script(step: FakeStep) -> int | None:
        take_over(folder.path)
        return 1

    assert World(folder, script).run() == 1
    assert RunStatus.read(folder) is None


def test_what_an_earlier_attempt_said_is_not_taken_for_this_one(folder: RunFolder) -> None:
    RunStatus("completed").write(folder)
    assert World(folder, lambda step: 137).run() == 137


def test_a_notice_has_the_ranks_save_and_the_job_requeued(folder: RunFolder) -> None:
    def script(step: FakeStep) -> int | None:
        world.notices.warned = world.now >= 5
        if step.signals:
            world.says("interrupted")
            return 0
        return None

    world = World(folder, script)
    assert world.run() == 143  # nothing killed this process, as SLURM does after a requeue
    assert world.steps[0].signals == [signal.SIGUSR1]
    assert world.requeued
    assert world.now >= LINGER_SECONDS


def test_a_notice_that_srun_swallowed_is_repeated(folder: RunFolder) -> None:
    def script(step: FakeStep) -> int | None:
        world.notices.warned = True
        if len(step.signals) == 3:
            world.says("interrupted")
            return 0
        return None

    world = World(folder, script)
    world.run()
    assert world.requeued
    assert not world.steps[0].killed


def test_the_clock_is_a_notice_too(folder: RunFolder) -> None:
    def script(step: FakeStep) -> int | None:
        if step.signals:
            world.says("interrupted")
            return 0
        return None

    # Ended long ago by the clock on the wall.
    world = World(folder, script, notices=Notices(CurrentJob("7", "7", end=0.0), signal_seconds=120))
    world.run()
    assert world.requeued


def test_ranks_that_do_not_stop_are_killed_and_the_job_requeued(folder: RunFolder) -> None:
    def script(step: FakeStep) -> int | None:
        world.notices.warned = True
        return 137 if signal.SIGTERM in step.signals else None

    world = World(folder, script)
    world.run()
    assert 120 <= world.now - LINGER_SECONDS < 125
    assert world.requeued


def test_ranks_that_were_told_by_somebody_else_are_requeued(folder: RunFolder) -> None:
    def script(step: FakeStep) -> int | None:
        world.says("interrupted")
        return 0

    world = World(folder, script)
    world.run()
    assert world.requeued


def test_without_requeue_an_interrupted_run_ends_the_job(folder: RunFolder) -> None:
    def script(step: FakeStep) -> int | None:
        world.says("interrupted")
        return 0

    world = World(folder, script)
    assert world.run(requeue=False) == 130
    assert not world.requeued
    assert world.now < 1


def test_a_refused_requeue_ends_the_job(folder: RunFolder) -> None:
    def script(step: FakeStep) -> int | None:
        world.says("interrupted")
        world.slurm.unreachable = True
        return 0

    world = World(folder, script)
    assert world.run() == 130
    assert world.now < 150


def test_a_cancel_while_an_unreachable_controller_is_asked_to_requeue_keeps_the_job_cancelled(
    folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    def script(step: FakeStep) -> int | None:
        world.says("interrupted")
        world.slurm.unreachable = True
        return 0

    class Cancelling(World):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if self.slurm.unreachable and self.now > 10:
                self.notices.terminated = True
                self.slurm.unreachable = False

    world = Cancelling(folder, script)
    assert world.run() == 143
    assert not world.requeued
    assert "not put back" in capsys.readouterr().out


def test_scancel_stays_cancelled(folder: RunFolder) -> None:
    def script(step: FakeStep) -> int | None:
        world.notices.terminated = world.now >= 3
        return 137 if world.now >= 8 else None

    world = World(folder, script)
    assert world.run() == 143
    assert not world.requeued
    # SLURM has told the ranks itself; a signal to srun would kill them.
    assert world.steps[0].signals == []
    assert not world.steps[0].killed
    # Ending at once would tell SLURM that the job is complete.
    assert world.now >= LINGER_SECONDS


def test_a_run_that_finishes_while_it_is_terminated_is_finished(folder: RunFolder) -> None:
    def script(step: FakeStep) -> int | None:
        world.notices.terminated = True
        if world.now >= 2:
            world.says("completed")
            return 0
        return None

    world = World(folder, script)
    assert world.run() == 0


def test_ranks_of_a_job_that_slurm_forgets_to_kill_do_not_stay_for_ever(folder: RunFolder) -> None:
    def script(step: FakeStep) -> int | None:
        world.notices.terminated = True
        return -9 if step.killed else None

    world = World(folder, script)
    assert world.run() == 143
    assert LINGER_SECONDS < world.now < 3 * LINGER_SECONDS


def test_a_step_that_cannot_start_is_tried_again(folder: RunFolder) -> None:
    def script(step: FakeStep) -> int | None:
        if len(world.steps) < 3:
            world.complaint = BUSY
            return 1
        world.says("completed")
        return 0

    world = World(folder, script)
    assert world.run() == 0
    assert 20 <= world.now < 25


def test_a_step_that_cannot_start_is_not_tried_for_ever(folder: RunFolder) -> None:
    world = World(folder, lambda step: 1, complaint=BUSY)
    assert world.run() == 1
    assert 600 < world.now < 620


def test_a_command_that_fails_at_once_is_not_tried_again(folder: RunFolder) -> None:
    world = World(folder, lambda step: 2, complaint="srun: error: node1: task 0: Exited with exit code 2")
    assert world.run() == 2
    assert len(world.steps) == 1


def test_each_attempt_owns_the_folder_and_meets_at_its_own_port(folder: RunFolder) -> None:
    def script(step: FakeStep) -> int | None:
        world.complaint = BUSY
        return 1 if len(world.steps) < 2 else 0

    world = World(folder, script)
    assert world.run() == 0
    first, second = world.environments
    assert first["NINES_OWNER"] != second["NINES_OWNER"] == read_json(folder.path / "owner.json")["token"]
    assert 1024 < int(second["MASTER_PORT"]) < 65536
