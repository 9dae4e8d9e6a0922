import os
import signal
import threading
import time
from pathlib import Path

import pytest

from apps import submission
from apps.cli import main
from apps.submission_signals import Stopped, ended_by_signals
from nines import stop_requests
from tests.fake_slurm import FakeSlurm

WORDS = ["model=tiny", "trainer=cpu", "launcher=slurm", "launcher.cpus_per_task=2"]


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeSlurm:
    fake = FakeSlurm()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("slurm.queue.SystemCommands", lambda **_: fake)
    monkeypatch.setattr("apps.submission.available", lambda: True)
    monkeypatch.setattr("apps.submission.check_and_prepare", lambda overrides, **what: None)
    monkeypatch.setattr("apps.sweep_checks.check_and_prepare", lambda definition, **what: None)
    return fake


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_while_a_run_is_prepared_submits_nothing(
    slurm: FakeSlurm,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
    code: int,
) -> None:
    monkeypatch.setattr("apps.submission.check_and_prepare", lambda overrides, **what: send(number))
    before = signal.getsignal(number)
    assert main(["train", *WORDS]) == code
    assert capsys.readouterr().err.splitlines()[-1].endswith("; nothing was submitted")
    assert slurm.scripts == {}
    assert signal.getsignal(number) is before


def test_a_signal_while_a_sweep_is_prepared_submits_nothing(
    slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("apps.sweep_checks.check_and_prepare", lambda definition, **what: send(signal.SIGTERM))
    assert main(["sweep", "sweep=quick", *WORDS]) == 143
    assert "nothing was submitted" in capsys.readouterr().err
    assert slurm.scripts == {}


def test_a_signal_that_came_during_the_imports_counts() -> None:
    with stop_requests.listening():
        send(signal.SIGTERM)
        with pytest.raises(Stopped, match="stopped by SIGTERM") as stopped, ended_by_signals():
            pytest.fail("the block must not be entered")
    assert stopped.value.exit_code == 143


def test_a_job_that_slurm_took_is_told_before_the_command_stops(
    slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    take = slurm._sbatch

    def take_and_be_stopped(*arguments: object) -> object:
        send(signal.SIGTERM)
        return take(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(slurm, "_sbatch", take_and_be_stopped)
    assert main(["train", *WORDS]) == 143
    shown = capsys.readouterr()
    assert "submitted job 7" in shown.out
    assert "a job that is told above stays in the queue" in shown.err


def test_a_second_signal_does_not_wait_for_the_controller() -> None:
    with (
        pytest.raises(Stopped, match="may have been submitted"),
        ended_by_signals() as signals,
        signals.handing_over(),
    ):
        send(signal.SIGTERM)
        send(signal.SIGTERM)
        pytest.fail("the second one must stop it")


def prepare_for_a_minute(_: list[str], folder: Path) -> None:
    (folder / "started").touch()
    time.sleep(60)


def test_the_process_that_prepares_ends_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It inherits handlers; were they to swallow the pool's SIGTERM, the command would wait for it for ever."""

    monkeypatch.setattr(submission, "_check_and_prepare", prepare_for_a_minute)

    def stop_once_started() -> None:
        while not (tmp_path / "started").exists():
            time.sleep(0.01)
        send(signal.SIGTERM)

    threading.Thread(target=stop_once_started, daemon=True).start()
    started = time.monotonic()
    with pytest.raises(Stopped), stop_requests.listening(), ended_by_signals():
        submission.check_and_prepare([], config_dir=tmp_path)
    assert time.monotonic() - started < 30
