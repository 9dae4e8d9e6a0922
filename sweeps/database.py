"""Opens a study's database, and says in one line why it cannot be opened.

Everything that SQLAlchemy, a driver or Optuna may raise at the opening ends here; `sweeps.patient_storage` takes care
of what happens later.
"""

from __future__ import annotations

import functools
import time
from typing import Any

import optuna
import sqlalchemy.exc
from sqlalchemy.engine import URL, make_url

from nines.errors import NinesError, StorageError, SweepError, nearest
from sweeps.database_rows import read_rows
from sweeps.patient_storage import PatientStorage, say
from sweeps.storage_faults import passes, reason
from sweeps.storage_url import PASSWORD_VARIABLE, password_of

DATABASES = ("postgresql", "mysql", "mariadb", "sqlite", "oracle", "mssql")
CONNECT_SECONDS = 10
# sqlite has one writer at a time; the others wait for so long.
SQLITE_LOCK_SECONDS = 60
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 5.0
# Optuna makes its types, its tables, a table of versions and the rows in it in transactions of their own: of two
# processes that come at the same time, one may lose the race for each of them, and then finds what it lost to.
TABLES_PAUSES_SECONDS = (0.0, 0.1, 0.2, 0.4, 0.8)

# What servers say of a wrong or missing password, in lower case; neither driver gives a code when it cannot connect.
REFUSED_PASSWORD = (
    "password authentication failed",
    "no password supplied",
    "access denied for user",
    "fe_sendauth",
    "no authorization specification",
)


def open_database(url: str, *, wait_seconds: float, patience_seconds: float) -> optuna.storages.BaseStorage:
    """The storage in the database behind `url`; its tables are created when missing.

    Args:
        url: SQLAlchemy URL without a password; that comes from `NINES_STORAGE_PASSWORD` or the driver's own sources.
        wait_seconds: How long to wait for a server that does not answer.
        patience_seconds: How long each request of the opened storage waits for it.

    Raises:
        SweepError: The URL is wrong, the driver is missing, or the server refuses the password.
        StorageError: The database cannot be reached or used.
    """
    parsed = _parse(url)
    begun, pause, told = time.monotonic(), FIRST_PAUSE_SECONDS, False
    while True:
        try:
            storage = _open(parsed)
        except Exception as error:
            waited = time.monotonic() - begun
            if waited >= wait_seconds or not passes(error) or _refuses_password(error):
                raise _mistake(error, parsed, url) from error
            if not told:
                say(f"the storage {url} does not answer ({reason(error)}); waiting up to {wait_seconds:.0f} s for it")
                told = True
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        else:
            return PatientStorage(
                # Optuna's cache of finished rows: without it each look at the study reads all of it again.
                optuna.storages.get_storage(storage),
                name=url,
                patience_seconds=patience_seconds,
                read_rows=functools.partial(read_rows, storage.engine),
            )


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError) as error:
        raise SweepError(
            f"storage: {url!r} is no database URL; it reads postgresql://user@host:port/database"
        ) from error
    name, _, driver = parsed.drivername.partition("+")
    # `postgres` is what some hosts write; without a driver SQLAlchemy would take one that is not ours.
    name = "postgresql" if name == "postgres" else name
    if name not in DATABASES:
        raise SweepError(f"storage: unknown kind of database {name!r}; {nearest(name, DATABASES)}")
    return parsed.set(drivername=f"{name}+{driver or 'psycopg'}" if name == "postgresql" else parsed.drivername)


def _open(url: URL) -> optuna.storages.RDBStorage:
    if url.get_backend_name() != "sqlite" and url.password is None and (password := password_of()) is not None:
        url = url.set(password=password)
    opened = functools.partial(
        optuna.storages.RDBStorage, url.render_as_string(hide_password=False), engine_kwargs=_engine_options(url)
    )
    for pause in TABLES_PAUSES_SECONDS:
        try:
            return opened()
        except (sqlalchemy.exc.ProgrammingError, sqlalchemy.exc.IntegrityError):
            time.sleep(pause)
    return opened()


def _engine_options(url: URL) -> dict[str, Any]:
    if url.get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": SQLITE_LOCK_SECONDS}}
    options: dict[str, Any] = {
        # A connection that the server or a firewall closed meanwhile is replaced instead of used.
        "pool_pre_ping": True,
        # One connection a process: a sweep has many processes, and a server few connections (100 as it comes).
        "pool_size": 1,
    }
    if url.get_driver_name() in ("psycopg", "psycopg2", "pymysql", "mysqldb"):
        options["connect_args"] = {"connect_timeout": CONNECT_SECONDS}
    return options


def _refuses_password(error: BaseException) -> bool:
    told = reason(error).lower()
    return any(phrase in told for phrase in REFUSED_PASSWORD)


def _mistake(error: Exception, url: URL, shown: str) -> NinesError:
    if isinstance(error, ImportError | sqlalchemy.exc.NoSuchModuleError):
        module = getattr(error.__cause__ or error, "name", None)
        driver = module or url.drivername.partition("+")[2]
        install = 'pip install "nines-lab[postgresql]"' if driver == "psycopg" else "install it with pip"
        return SweepError(f"storage: the database driver {driver!r} is missing; {install}")
    if _refuses_password(error):
        user = url.username or "this user"
        found = "refuses the password" if password_of() else "wants a password"
        return SweepError(
            f"the storage {shown} {found} of {user}: give it as {PASSWORD_VARIABLE} in the environment, "
            "or in ~/.pgpass, so that it stays out of files and process lists"
        )
    return StorageError(f"cannot open the storage {shown}: {reason(error)}")
