"""Opening a study's database while others do the same, on a storage that loses as often as a test says."""

import optuna
import pytest
import sqlalchemy.exc

from nines.errors import StorageError
from sweeps import database
from sweeps.database import TABLES_PAUSES_SECONDS, open_database


@pytest.fixture
def losing(monkeypatch):
    """Have the next so many openings find that another process has just made a table."""
    monkeypatch.setattr(database.time, "sleep", lambda _: None)
    real = optuna.storages.RDBStorage

    def lose(times, error):
        left = [error] * times

        class Losing(real):
            def __init__(self, *args, **options):
                if left:
                    raise left.pop()
                super().__init__(*args, **options)

        monkeypatch.setattr(optuna.storages, "RDBStorage", Losing)

    return lose


LOST = sqlalchemy.exc.IntegrityError("CREATE TYPE", {}, Exception("duplicate key value violates unique constraint"))
EXISTS = sqlalchemy.exc.ProgrammingError("CREATE TABLE", {}, Exception('relation "studies" already exists'))


@pytest.mark.parametrize("error", [LOST, EXISTS])
def test_a_process_that_loses_every_race_for_the_tables_opens_them_all_the_same(tmp_path, losing, error):
    losing(len(TABLES_PAUSES_SECONDS), error)
    storage = open_database(f"sqlite:///{tmp_path / 'study.db'}", wait_seconds=0, patience_seconds=0)
    assert storage.get_all_studies() == []


def test_what_is_no_race_ends_in_one_line(tmp_path, losing):
    losing(100, LOST)
    with pytest.raises(StorageError, match=r"cannot open the storage .*duplicate key value") as raised:
        open_database(f"sqlite:///{tmp_path / 'study.db'}", wait_seconds=0, patience_seconds=0)
    assert "\n" not in str(raised.value)
