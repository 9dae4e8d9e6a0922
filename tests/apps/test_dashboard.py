"""`nines dashboard`: Optuna's pages on each kind of storage, refusals in one line, and an end by Ctrl-C."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import optuna
import pytest

from apps.cli import main
from apps.dashboard import is_loopback, opened
from sweeps.storage_url import PASSWORD_VARIABLE
from sweeps.study import create_study
from tests.postgresql import running_server
from tests.sweeps.conftest import REPOSITORY, definition


@pytest.fixture
def serve(tmp_path):
    """Start the command on a free port; gives the address that it prints and ends it by Ctrl-C."""
    processes = []

    def start(*words):
        command = [sys.executable, "-m", "apps.cli", "dashboard", *words, "--port", "0"]
        process = subprocess.Popen(
            command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
        )
        processes.append(process)
        line = process.stdout.readline()
        found = re.match(r"dashboard: (http://127\.0\.0\.1:\d+)(/\S*) \(Ctrl-C stops it\)$", line)
        assert found, line + process.stderr.read()
        return process, found[1], found[2]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def fetch(address):
    with urllib.request.urlopen(address, timeout=20) as answer:
        return answer.read().decode()


def finished_sweep(folder, storage=None):
    sweep = create_study(folder, definition(), storage=storage)
    trial = sweep.study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    sweep.definition.space.suggest(trial)
    trial.report(0.25, 1)
    sweep.study().tell(trial.number, 0.5)
    return sweep


def assert_shows(address, page, sweep):
    assert "<html" in fetch(address + "/")
    assert "<html" in fetch(address + page)
    studies = json.loads(fetch(address + "/api/studies"))["study_summaries"]
    assert sweep.name in [study["study_name"] for study in studies]
    trials = json.loads(fetch(f"{address}/api/studies/{sweep.study_id}?after=0"))["trials"]
    assert [trial["values"] for trial in trials] == [[0.5]]
    assert [value["value"] for value in trials[0]["intermediate_values"]] == [0.25]


@pytest.mark.parametrize("scheme", [None, "sqlite:///"])
def test_a_sweep_is_shown_and_ctrl_c_ends_it(tmp_path, serve, scheme):
    storage = f"{scheme}{tmp_path}/study.db" if scheme else None
    sweep = finished_sweep(tmp_path / "toy", storage)
    process, address, page = serve(f"folder={sweep.folder}")
    assert page == f"/dashboard/studies/{sweep.study_id}"
    assert_shows(address, page, sweep)
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=20)
    assert (process.returncode, said, errors) == (0, "stopped\n", "")


def test_all_of_a_database_is_shown_and_the_password_nowhere(tmp_path, serve, monkeypatch):
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)
    with running_server() as server:
        server.create("sweeps")
        sweep = finished_sweep(tmp_path / "toy", server.url("sweeps", password=True))
        monkeypatch.delenv(PASSWORD_VARIABLE)
        process, address, page = serve(f"storage={server.url('sweeps', password=True)}")
        assert page == "/dashboard"
        assert_shows(address, page, sweep)
        assert server.password not in "".join(fetch(address + path) for path in ("/", "/api/studies", "/api/meta"))
        listed = Path(f"/proc/{process.pid}/cmdline")
        command_line = listed.read_text() if listed.exists() else ""
        process.send_signal(signal.SIGINT)
        said = "".join(process.communicate(timeout=20))
    assert "storage=" in command_line or not command_line
    for text in (said, command_line):
        assert server.password not in text
        assert server.password.rpartition("/")[2] not in text


def test_without_words_the_newest_sweep_is_meant(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for index, name in enumerate(("toy-aaaa", "toy-bbbb")):
        sweep = finished_sweep(tmp_path / "runs" / "sweep" / name)
        os.utime(sweep.folder / "sweep.yaml", (index, index))
    storage, page = opened([])
    assert storage.get_study_name_from_id(int(page.rpartition("/")[2])) == "toy-bbbb"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["folder={tmp}/none"], "holds no sweep"),
        (["storage=journal:{tmp}/none"], "there is no storage journal:"),
        (["storage=nonsense"], "neither journal:<file> nor a SQLAlchemy URL"),
        (["name=nobody", "runs={tmp}", "storage=sqlite:///{tmp}/none.db"], "there is no storage sqlite:"),
    ],
)
def test_what_is_not_there_is_one_line(tmp_path, capsys, words, says):
    assert (
        main(["dashboard", *(word.format(tmp=tmp_path) for word in words), f"runs={tmp_path}"][: len(words) + 1]) == 2
    )
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_taken_port_is_one_line(tmp_path, capsys):
    sweep = finished_sweep(tmp_path / "toy")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["dashboard", f"folder={sweep.folder}", "--port", str(port)]) == 2
    assert f"cannot listen on port {port} of 127.0.0.1: " in capsys.readouterr().err
    assert main(["dashboard", f"folder={sweep.folder}", "--port", "70000"]) == 2
    assert "cannot listen on port 70000" in capsys.readouterr().err


def test_the_missing_package_is_one_line_that_says_how_to_get_it(capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["dashboard"]) == 2
    assert capsys.readouterr().err.rstrip().endswith('pip install "nines-lab[dashboard]"')


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("login1", False)],
)
def test_only_loopback_is_safe_without_a_word(host, loopback):
    assert is_loopback(host) is loopback
