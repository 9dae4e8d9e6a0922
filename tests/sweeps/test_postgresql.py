"""Sweeps whose study lies in a real PostgreSQL server: restarts, refusals, many workers, and no password anywhere."""

import itertools
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

import optuna
import pytest

from apps.cli import main
from nines.errors import StorageError, SweepError
from sweeps.storage import open_storage
from sweeps.storage_url import PASSWORD_VARIABLE
from sweeps.study import create_study, find_in_storage, open_study
from tests.postgresql import USER, running_server
from tests.sweeps.conftest import REPOSITORY, definition, wait_until
from tests.sweeps.fake_training import completions_of, steps_of

NUMBERS = itertools.count()
ATTRIBUTES = ("study_user_attributes", "study_system_attributes", "trial_user_attributes", "trial_system_attributes")


@pytest.fixture(scope="module")
def server():
    with running_server() as started:
        yield started


@pytest.fixture
def database(server, monkeypatch):
    """URL of an empty database; the password is in the environment, as `nines` leaves it there."""
    for name in ("PGPASSWORD", "PGPASSFILE", "PGUSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(PASSWORD_VARIABLE, server.password)
    return server.create(f"test_{next(NUMBERS)}")


def test_a_sweep_is_made_and_opened_again_and_its_url_needs_no_driver(tmp_path, database):
    made = create_study(tmp_path / "toy", definition(seeds=2), storage=database)
    trial = made.study().ask()
    made.study().tell(trial.number, 1.0)
    opened = open_study(tmp_path / "toy")
    assert (opened.storage_url, opened.definition) == (database, made.definition)
    # The first look reads the tables itself, the second is Optuna's.
    assert [row.value for row in opened.trials()] == [row.value for row in opened.trials()] == [1.0]
    # What `nines` does not open itself finds the same study: Optuna's own tools.
    plain = database.replace("postgresql://", "postgresql+psycopg://")
    with_password = plain.replace("@", f":{quote(os.environ[PASSWORD_VARIABLE], safe='')}@")
    assert optuna.load_study(study_name="toy", storage=with_password).best_value == 1.0


def test_a_password_in_the_url_is_moved_to_the_environment(tmp_path, server, database, monkeypatch):
    monkeypatch.delenv(PASSWORD_VARIABLE)
    url = server.url(database.rpartition("/")[2], password=True)
    sweep = create_study(tmp_path / "toy", definition(), storage=url)
    assert os.environ[PASSWORD_VARIABLE] == server.password
    assert sweep.storage_url == database
    assert database in (tmp_path / "toy" / "sweep.yaml").read_text()


def test_the_password_may_come_from_where_libpq_looks(server, database, tmp_path, monkeypatch):
    monkeypatch.delenv(PASSWORD_VARIABLE)
    monkeypatch.setenv("PGPASSWORD", server.password)
    open_storage(database)
    monkeypatch.delenv("PGPASSWORD")
    file = tmp_path / "pgpass"
    file.write_text(f"127.0.0.1:{server.port}:*:{USER}:{server.password.replace(':', chr(92) + ':')}\n")
    file.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(file))
    open_storage(database)


@pytest.mark.parametrize(("given", "says"), [("wrong", "refuses the password"), (None, "wants a password")])
def test_a_wrong_or_missing_password_is_one_line_that_says_how_to_give_it(database, monkeypatch, given, says):
    monkeypatch.setenv("PGPASSFILE", "/dev/null")
    if given is None:
        monkeypatch.delenv(PASSWORD_VARIABLE)
    else:
        monkeypatch.setenv(PASSWORD_VARIABLE, given)
    with pytest.raises(SweepError, match=f"{says} of {USER}: give it as {PASSWORD_VARIABLE}") as caught:
        open_storage(database)
    assert "\n" not in str(caught.value)
    assert f" {given} " not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (("/test", "/nothing_"), StorageError, "does not exist"),
        (("/test", "x/test"), SweepError, "is no database URL"),
        (("postgresql:", "postgres:"), None, ""),
        (("postgresql:", "postgersql:"), SweepError, "did you mean 'postgresql'"),
        (("postgresql:", "postgresql+nodriver:"), SweepError, "driver 'nodriver' is missing"),
    ],
)
def test_mistakes_in_a_url_are_one_line(database, change, error, says):
    url = database.replace(*change)
    if error is None:
        open_storage(url)
        return
    with pytest.raises(error, match=says) as caught:
        open_storage(url)
    assert "\n" not in str(caught.value)


def test_a_sweep_is_found_in_the_storage_alone(tmp_path, database, capsys):
    for name in ("toy-aaaa", "toy-bbbb", "other-cccc"):
        create_study(tmp_path / "there" / name, definition(), storage=database)
    (tmp_path / "there").rename(tmp_path / "gone")
    found = find_in_storage(database, "toy")
    assert (found.name, found.folder, found.visible) == ("toy-bbbb", tmp_path / "there" / "toy-bbbb", False)
    assert find_in_storage(database, "toy-aaaa").name == "toy-aaaa"
    assert found.definition == definition()
    with pytest.raises(SweepError, match=r"no sweep 'toyy'.*toy-aaaa"):
        find_in_storage(database, "toyy")
    assert main(["sweep", "status", "name=toy", f"storage={database}", f"runs={tmp_path}"]) == 0
    assert "toy-bbbb  (not to be seen from this machine)" in capsys.readouterr().out
    assert not (tmp_path / "there").exists()


def test_two_processes_may_be_the_first_in_a_database(database):
    code = "import sys; from sweeps.storage import open_storage; open_storage(sys.argv[1]).get_all_studies()"
    both = [subprocess.Popen([sys.executable, "-c", code, database], cwd=REPOSITORY) for _ in range(2)]
    assert [process.wait(timeout=60) for process in both] == [0, 0]


@pytest.mark.slow
def test_four_workers_run_a_hundred_trials_and_none_twice(tmp_path, database, start_worker):
    sweep = create_study(tmp_path / "toy", definition(trials=100, train=["steps=1", "pause=0"]), storage=database)
    workers = [start_worker(sweep) for _ in range(4)]
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0, 0, 0]
    rows = sweep.trials()
    assert [row.state for row in rows] == ["completed"] * 100
    assert sorted(row.group for row in rows) == list(range(100))
    assert all(completions_of(row.folder) == 1 for row in rows)
    assert len({row.host for row in rows}) == 1


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_workers_and_trials_outlive_a_restart_of_the_server(tmp_path, server, database, start_worker, mode):
    train = ["steps=30", "pause=0.05", "report=yes"]
    sweep = create_study(tmp_path / "toy", definition(trials=6, train=train, retries=0), storage=database)
    workers = [start_worker(sweep) for _ in range(2)]
    wait_until(lambda: len(list((sweep.folder / "trials").glob("*/steps.txt"))) >= 2)
    server.stop(mode)
    # Long enough that trials end meanwhile, and that their workers have to write it down.
    time.sleep(4)
    assert [worker.poll() for worker in workers] == [None, None]
    server.start()
    assert [worker.wait(timeout=90) for worker in workers] == [0, 0]
    rows = open_study(sweep.folder).trials()
    assert [row.state for row in rows] == ["completed"] * 6
    assert all(steps_of(row.folder) == list(range(1, 31)) for row in rows)
    assert all(len(row.intermediate_values) == 30 for row in rows)
    said = "".join(path.read_text() for path in [sweep.folder / "worker.log", *sweep.folder.glob("trials/*/log.txt")])
    assert f"the storage {database} does not answer" in said
    assert "answers again after" in said
    assert "Traceback" not in said


def test_a_server_that_is_down_is_one_line_and_exit_code_1(tmp_path, server, database, capsys):
    create_study(tmp_path / "toy", definition(), storage=database)
    server.stop()
    try:
        begun = time.monotonic()
        code = main(["sweep", "status", f"folder={tmp_path / 'toy'}"])
        took = time.monotonic() - begun
    finally:
        server.start()
    said = capsys.readouterr().err
    assert code == 1
    assert said.count("\n") == 1
    assert f"cannot open the storage {database}: " in said
    assert "Connection refused" in said
    assert took < 10


def test_a_worker_waits_for_a_server_that_is_just_restarted(tmp_path, server, database, start_worker):
    sweep = create_study(tmp_path / "toy", definition(trials=1), storage=database)
    server.stop()
    try:
        worker = start_worker(sweep)
        wait_until(lambda: "does not answer" in (sweep.folder / "worker.log").read_text())
    finally:
        server.start()
    assert worker.wait(timeout=60) == 0
    assert [row.state for row in sweep.trials()] == ["completed"]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="reads the process list in /proc")
def test_a_password_is_written_nowhere_printed_nowhere_and_in_no_process_list(tmp_path, server, database, monkeypatch):
    monkeypatch.delenv(PASSWORD_VARIABLE)
    monkeypatch.setenv("NINES_CACHE", str(tmp_path / "cache"))
    url = server.url(database.rpartition("/")[2], password=True)
    words = ["model=tiny", "trials=6", "workers=2", "trainer.max_steps=60", f"runs={tmp_path / 'runs'}"]
    command = [sys.executable, "-m", "apps.cli", "sweep", *words, f"storage={url}"]
    with (tmp_path / "printed").open("wb") as printed:
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=printed, stderr=printed)
        listed, workers = _watch_process_list(process, tmp_path / "runs", seconds=150.0)
        assert process.wait(timeout=60) == 130, (tmp_path / "printed").read_text()
        for action in ("status", "report", "cancel", "retry"):
            again = [sys.executable, "-m", "apps.cli", "sweep", action, f"runs={tmp_path / 'runs'}", f"storage={url}"]
            assert subprocess.run(again, cwd=REPOSITORY, stdout=printed, stderr=printed, check=False).returncode == 0
    assert workers > 0
    said = (tmp_path / "printed").read_text()
    assert f"Go on with:  nines sweep {shlex.join(words)} storage={database}" in said
    assert "a command line is seen by everybody" in said
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 20
    for secret in (server.password, quote(server.password, safe="")):
        assert [line for line in listed if secret in line] == []
        assert [path for path in files if secret.encode() in path.read_bytes()] == []
        for table in ATTRIBUTES:
            stored = server.run(database.rpartition("/")[2], f"SELECT value_json FROM {table}")
            assert [row for row in stored if secret in str(row)] == []


def _watch_process_list(process, runs, *, seconds):
    """Command lines seen from the moment that `nines` hid its own until two trials run; then the sweep is stopped."""
    listed, workers, hidden = set(), 0, False
    end = time.monotonic() + seconds
    while process.poll() is None:
        assert time.monotonic() < end, "the sweep has not come to its trials in time"
        lines = {int(path.name): _command_line(path) for path in Path("/proc").glob("[0-9]*")}
        own = lines.get(process.pid, "")
        hidden = hidden or ("storage=" in own and f"{USER}@" in own)
        if hidden:
            listed |= set(lines.values())
            workers = max(workers, sum("sweeps.worker" in line for line in lines.values()))
            if len(list(runs.glob("sweep/*/trials/*/status.json"))) >= 2:
                process.send_signal(signal.SIGINT)
                process.wait(timeout=60)
        time.sleep(0.05)
    return listed, workers


def _command_line(process):
    try:
        return (process / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""
