import os
import signal
import subprocess
import sys
import time

import pytest

from nines.run_folder import RunFolder, RunStatus
from nines.run_owner import TOKEN_VARIABLE
from sweeps.claims import Claim
from sweeps.trial import TrialJob
from sweeps.trial_process import ForkedTrials, die_with
from tests.sweeps.conftest import lives, wait_until


@pytest.fixture
def job(tmp_path):
    claim = Claim(**{**Claim.mine().as_mapping(), "token": "mine"})
    return TrialJob(tmp_path / "run", (), "journal:/j", "toy", 3, 2, ("score",), claim)


def ended(process):
    codes = []
    wait_until(lambda: codes.append(process.poll()) or codes[-1] is not None)
    return codes[-1]


def test_a_fork_tells_its_log_its_token_and_its_threads_and_leaves_the_worker_as_it_was(job):
    def train(job):
        print(os.environ[TOKEN_VARIABLE], os.environ["OMP_NUM_THREADS"])
        os.environ["CHANGED"] = "1"

    process = ForkedTrials(train, threads=3).start(job)
    assert ended(process) == 0
    assert RunFolder(job.folder).log.read_text() == "mine 3\n"
    assert TOKEN_VARIABLE not in os.environ
    assert "CHANGED" not in os.environ


def test_the_status_of_an_earlier_attempt_does_not_pass_for_the_end_of_this_one(job):
    RunStatus("completed").write(RunFolder(job.folder))
    process = ForkedTrials(lambda job: time.sleep(60)).start(job)
    assert RunStatus.read(RunFolder(job.folder)).state == "starting"
    assert process.poll() is None
    process.kill()
    assert ended(process) == -signal.SIGKILL


def test_a_fork_that_is_asked_to_stop_ends_as_interrupted(job):
    def train(job):
        (job.folder / "begun").touch()
        time.sleep(60)

    process = ForkedTrials(train).start(job)
    wait_until((job.folder / "begun").exists)
    process.ask_to_stop()
    assert ended(process) == 130
    assert RunStatus.read(RunFolder(job.folder)).state == "interrupted"


def test_what_a_trial_started_and_left_behind_goes_with_it(job):
    def train(job):
        left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        (job.folder / "left").write_text(str(left.pid))

    assert ended(ForkedTrials(train).start(job)) == 0
    left = int((job.folder / "left").read_text())
    wait_until(lambda: not lives(left), seconds=5)


def test_a_process_can_be_made_to_die_with_the_one_that_started_it(tmp_path):
    code = (
        "import os, signal, sys, time\n"
        "from sweeps.trial_process import die_with\n"
        "parent = os.getpid()\n"
        "if (child := os.fork()) == 0:\n"
        "    die_with(parent, signal.SIGKILL)\n"
        "    time.sleep(60)\n"
        "print(child, flush=True)\n"
        "time.sleep(0.5)\n"
    )
    parent = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    child = int(parent.stdout)
    wait_until(lambda: not lives(child), seconds=5)


def test_a_parent_that_is_gone_already_is_noticed(monkeypatch):
    sent = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    monkeypatch.setattr(os, "getppid", lambda: 1)
    die_with(99, signal.SIGUSR2)
    assert sent == [(os.getpid(), signal.SIGUSR2)]
    monkeypatch.undo()
    import ctypes

    ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)
