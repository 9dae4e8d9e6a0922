import multiprocessing
import os
import signal
import time
from pathlib import Path

import optuna
import pytest

from nines.errors import StorageError, SweepError
from sweeps.storage import open_existing, open_storage
from sweeps.storage_url import absolute_url


def test_paths_become_absolute_so_that_every_process_finds_the_same_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute_url("journal:a/b") == f"journal:{tmp_path}/a/b"
    assert absolute_url("sqlite:///study.db") == f"sqlite:///{tmp_path}/study.db"
    assert absolute_url("sqlite:////data/study.db") == "sqlite:////data/study.db"
    assert absolute_url("postgresql://user@host/base") == "postgresql://user@host/base"


def test_what_is_no_storage_is_refused_with_what_would_be_one():
    with pytest.raises(SweepError, match="neither journal:<file> nor a SQLAlchemy URL"):
        open_storage("study.db")


def test_an_unreachable_database_is_one_line(tmp_path):
    with pytest.raises(StorageError) as caught:
        open_storage(f"sqlite:///{tmp_path}/missing/study.db")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["journal:", "sqlite:///"])
def test_a_study_is_found_again(tmp_path, scheme):
    url = f"{scheme}{tmp_path}/study"
    study = optuna.create_study(study_name="s", storage=open_storage(url))
    study.tell(study.ask(), 1.0)
    assert [t.value for t in optuna.load_study(study_name="s", storage=open_storage(url)).trials] == [1.0]


def test_a_torn_last_line_is_cut_off_before_the_next_write(tmp_path):
    url, path = f"journal:{tmp_path}/study", tmp_path / "study"
    study = optuna.create_study(study_name="s", storage=open_storage(url))
    study.tell(study.ask(), 1.0)
    with path.open("ab") as file:
        file.write(b'{"op_code": 4, "worker_id": "kill')
    again = optuna.load_study(study_name="s", storage=open_storage(url))
    again.tell(again.ask(), 2.0)
    values = [t.value for t in optuna.load_study(study_name="s", storage=open_storage(url)).trials]
    assert values == [1.0, 2.0]
    assert "kill" not in path.read_text()


def test_a_torn_tail_longer_than_a_block_is_cut_off_too(tmp_path):
    url, path = f"journal:{tmp_path}/study", tmp_path / "study"
    optuna.create_study(study_name="s", storage=open_storage(url))
    whole = path.read_bytes()
    path.write_bytes(whole + b"x" * 10_000)
    study = optuna.load_study(study_name="s", storage=open_storage(url))
    study.ask()
    assert path.read_bytes().startswith(whole)
    assert b"x" * 10 not in path.read_bytes()


def _append_for_ever(url: str) -> None:
    study = optuna.load_study(study_name="s", storage=open_storage(url))
    while True:
        study.tell(study.ask(), 1.0)


def test_writers_killed_at_work_leave_a_readable_study(tmp_path):
    url = f"journal:{tmp_path}/study"
    optuna.create_study(study_name="s", storage=open_storage(url))
    context = multiprocessing.get_context("fork")
    for _ in range(3):
        writer = context.Process(target=_append_for_ever, args=(url,))
        writer.start()
        time.sleep(0.15)
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        # What takes ten seconds for a lock left behind is tested by the chaos run; here only the file counts.
        Path(f"{tmp_path}/study.lock").unlink(missing_ok=True)
    study = optuna.load_study(study_name="s", storage=open_storage(url))
    before = len(study.trials)
    assert before > 0
    study.tell(study.ask(), 2.0)
    assert len(optuna.load_study(study_name="s", storage=open_storage(url)).trials) == before + 1


def _append(url: str, host: str, trials: int) -> None:
    """Stands for a process of another machine: it shares nothing with its neighbours but the file."""
    study = optuna.load_study(study_name="s", storage=open_storage(url), sampler=optuna.samplers.RandomSampler())
    for _ in range(trials):
        trial = study.ask()
        trial.set_user_attr("host", host)
        study.tell(trial, trial.suggest_float("x", 0, 1))


def test_processes_of_two_hosts_append_to_one_journal_and_lose_nothing(tmp_path):
    # One of them finds the folder by another path, as two machines may that mount it through a link.
    (tmp_path / "disk").mkdir()
    (tmp_path / "mounted").symlink_to(tmp_path / "disk")
    urls = {"node1": f"journal:{tmp_path}/disk/study", "node2": f"journal:{tmp_path}/mounted/study"}
    optuna.create_study(study_name="s", storage=open_storage(urls["node1"]))
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append, args=(url, host, 10)) for host, url in urls.items() for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0, 0]
    rows = optuna.load_study(study_name="s", storage=open_storage(urls["node2"])).trials
    assert [row.number for row in rows] == list(range(40))
    assert [row.state.name for row in rows] == ["COMPLETE"] * 40
    assert sorted(row.user_attrs["host"] for row in rows) == ["node1"] * 20 + ["node2"] * 20
    assert not (tmp_path / "disk" / "study.lock").exists()


@pytest.mark.filterwarnings("ignore:The value of `grace_period` might be too small")
def test_the_lock_of_a_killed_process_is_broken(tmp_path, monkeypatch):
    monkeypatch.setattr("sweeps.journal.ABANDONED_LOCK_SECONDS", 1)
    url = f"journal:{tmp_path}/study"
    study = optuna.create_study(study_name="s", storage=open_storage(url))
    (tmp_path / "study.lock").touch()  # what a process leaves that is killed between lock and release
    begun = time.monotonic()
    study.tell(study.ask(), 1.0)
    assert 1 <= time.monotonic() - begun < 20
    assert not (tmp_path / "study.lock").exists()
    assert [row.value for row in optuna.load_study(study_name="s", storage=open_storage(url)).trials] == [1.0]


def test_a_writer_whose_lock_was_broken_meanwhile_goes_on(tmp_path, monkeypatch):
    url, lock = f"journal:{tmp_path}/study", tmp_path / "study.lock"
    study = optuna.create_study(study_name="s", storage=open_storage(url))
    monkeypatch.setattr(os, "fsync", lambda descriptor: lock.unlink(missing_ok=True))
    study.ask()
    monkeypatch.undo()
    study.tell(0, 1.0)
    assert [row.value for row in optuna.load_study(study_name="s", storage=open_storage(url)).trials] == [1.0]


def test_what_is_no_journal_is_one_line(tmp_path):
    (tmp_path / "study").write_text("a letter\nto somebody\n")
    with pytest.raises(StorageError, match="is not the journal of a study") as caught:
        open_storage(f"journal:{tmp_path}/study")
    assert "\n" not in str(caught.value)


def test_a_storage_that_must_exist_is_not_made(tmp_path):
    with pytest.raises(SweepError, match="there is no storage"):
        open_existing(f"sqlite:///{tmp_path}/study.db")
    assert list(tmp_path.iterdir()) == []
    open_storage(f"sqlite:///{tmp_path}/study.db")
    assert open_existing(f"sqlite:///{tmp_path}/study.db").get_all_studies() == []
