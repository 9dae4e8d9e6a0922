import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from nines import stop_requests
from nines.stop_requests import SIGTERM_VARIABLE, Stop


@pytest.fixture(autouse=True)
def _no_scheduler(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("SLURM_STEP_ID", SIGTERM_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    yield
    assert not stop_requests.installed()


@pytest.mark.parametrize("number", stop_requests.SIGNALS)
def test_a_signal_asks_to_end_and_goes_on_asking(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stop_requests.listening():
        assert stop_requests.received() is None
        os.kill(os.getpid(), number)
        assert stop_requests.take() is Stop.END
        assert stop_requests.received() is Stop.END
        assert stop_requests.cause() == number.name
    assert stop_requests.received() is None
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(
    ("environment", "meaning"),
    [
        ({}, Stop.END),
        ({"SLURM_JOB_ID": "7"}, Stop.END),
        ({"SLURM_STEP_ID": "0"}, Stop.SAVE),
        ({"SLURM_STEP_ID": "0", SIGTERM_VARIABLE: "end"}, Stop.END),
        ({SIGTERM_VARIABLE: "save"}, Stop.SAVE),
    ],
)
def test_what_a_sigterm_means_depends_on_whether_a_scheduler_sends_it(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], meaning: Stop
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with stop_requests.listening():
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop_requests.received() is meaning


def test_each_request_to_save_is_met_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    with stop_requests.listening():
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop_requests.take() is Stop.SAVE
            assert stop_requests.take() is None


def test_the_strongest_request_counts() -> None:
    with stop_requests.listening():
        for stop in (Stop.SAVE, Stop.LEAVE, Stop.END):
            stop_requests.request(stop, "a test")
        assert stop_requests.received() is Stop.LEAVE


def test_the_second_sigint_does_not_wait_for_a_checkpoint() -> None:
    with stop_requests.listening():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_sigint_after_a_sigterm_that_only_saves_asks_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SIGTERM_VARIABLE, "save")
    with stop_requests.listening():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert stop_requests.received() is Stop.END


def test_an_inner_block_leaves_the_requests_to_the_outer_one() -> None:
    with stop_requests.listening():
        with stop_requests.listening():
            os.kill(os.getpid(), signal.SIGUSR1)
        assert stop_requests.received() is Stop.END
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop_requests.cause() == "SIGTERM"


def test_outside_the_main_thread_nothing_is_installed() -> None:
    before = signal.getsignal(signal.SIGTERM)

    def listen() -> None:
        with stop_requests.listening():
            stop_requests.install()
            assert not stop_requests.installed()

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before


def test_it_is_there_before_anything_heavy_is_imported() -> None:
    code = "import sys, nines.stop_requests; sys.exit(any(m in sys.modules for m in ('torch', 'numpy', 'lightning')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_hangup_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_requests.listening():
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop_requests.received() is None
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
