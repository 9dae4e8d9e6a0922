"""Which faults of a database pass by themselves, and the one line that each makes."""

import sqlite3

import pytest
import sqlalchemy.exc

from sweeps.storage_faults import LONGEST_REASON, passes, reason
from sweeps.storage_url import PASSWORD_VARIABLE


class DriverError(Exception):
    def __init__(self, message: str = "", sqlstate: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


def operational(original: Exception) -> sqlalchemy.exc.OperationalError:
    return sqlalchemy.exc.OperationalError("SELECT 1", {"x": 1}, original)


@pytest.mark.parametrize(
    "error",
    [
        operational(DriverError("terminating connection due to administrator command", "57P01")),
        operational(DriverError("the database system is starting up", "57P03")),
        operational(DriverError("sorry, too many clients already", "53300")),
        operational(DriverError("deadlock detected", "40P01")),
        operational(DriverError("connection refused")),
        operational(sqlite3.OperationalError("database is locked")),
    ],
)
def test_faults_that_pass(error):
    assert passes(error)
    wrapped = RuntimeError("An exception is raised during the commit.")
    wrapped.__cause__ = error
    assert passes(wrapped)


@pytest.mark.parametrize(
    "error",
    [
        operational(DriverError("disk full", "53100")),
        operational(DriverError('relation "studies" does not exist', "42P01")),
        operational(sqlite3.OperationalError("database or disk is full")),
        operational(sqlite3.OperationalError("attempt to write a readonly database")),
        sqlalchemy.exc.ProgrammingError("SELECT 1", {}, DriverError("syntax error")),
        ValueError("a defect"),
    ],
)
def test_faults_that_stay(error):
    assert not passes(error)


def test_the_reason_is_the_drivers_own_words_on_one_line_without_sql():
    wrapped = RuntimeError("An exception is raised during the commit.")
    wrapped.__cause__ = operational(DriverError("server closed the connection\n\tunexpectedly"))
    assert reason(wrapped) == "server closed the connection unexpectedly"
    assert reason(ValueError("a defect")) == "a defect"
    assert len(reason(ValueError("x" * 1000))) <= LONGEST_REASON + 2


def test_a_driver_that_repeats_the_password_is_not_repeated(monkeypatch):
    monkeypatch.setenv(PASSWORD_VARIABLE, "hunter2")
    assert reason(operational(DriverError("cannot connect as u with hunter2"))) == "cannot connect as u with ***"
