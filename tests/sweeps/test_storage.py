import multiprocessing
import os
import signal
import time
from pathlib import Path

import optuna
import pytest

from nines.errors import StorageError, SweepError
from sweeps.storage import open_storage
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
