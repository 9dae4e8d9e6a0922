"""A real PostgreSQL server for tests: on loopback, in a temporary folder, with passwords (scram).

The server refuses to run as root, so root starts it as another user. Debian keeps the programs outside the PATH.
"""

from __future__ import annotations

import dataclasses
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

USER = "sweeper"


def programs() -> Path | None:
    """The folder of initdb and pg_ctl, None where the server is not installed."""
    found = shutil.which("initdb")
    candidates = [Path(found).resolve().parent] if found else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next(
        (folder for folder in candidates if (folder / "pg_ctl").exists() and (folder / "initdb").exists()), None
    )


@dataclasses.dataclass
class PostgreSQL:
    """A server with one user.

    Attributes:
        folder: Its temporary folder.
        programs: Where its programs lie.
        port: On 127.0.0.1.
        password: Password of `USER`.
    """

    folder: Path
    programs: Path
    port: int
    password: str

    def url(self, database: str, *, password: bool = False, scheme: str = "postgresql") -> str:
        """URL of `database`, without the password unless asked for."""
        secret = f":{quote(self.password, safe='')}" if password else ""
        return f"{scheme}://{USER}{secret}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str) -> str:
        """Make an empty database; returns its URL without the password."""
        import psycopg

        with psycopg.connect(self._conninfo(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{database}"')
        return self.url(database)

    def run(self, database: str, statement: str) -> list[tuple[object, ...]]:
        """Run one statement; returns its rows."""
        import psycopg

        with psycopg.connect(self._conninfo(database), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []

    def _conninfo(self, database: str = "postgres") -> str:
        return f"host=127.0.0.1 port={self.port} user={USER} password={self.password} dbname={database}"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        # fsync is for power cuts; 127.0.0.1 is all that it listens to, sockets in folders included.
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        data, log = str(self.folder / "data"), str(self.folder / "log")
        self._as_user("pg_ctl", "start", "-w", "-D", data, "-l", log, "-o", options)

    def stop(self, mode: str = "fast") -> None:
        """Stop it: `fast` closes connections in good order, `immediate` drops everything, as a crash would."""
        self._as_user("pg_ctl", "stop", "-w", "-m", mode, "-D", str(self.folder / "data"))

    def _as_user(self, program: str, *arguments: str) -> None:
        user = _unprivileged() if os.geteuid() == 0 else None
        finished = subprocess.run(
            [str(self.programs / program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # a pipe would stay open as long as the server runs
            stderr=subprocess.PIPE if program == "initdb" else subprocess.DEVNULL,
            cwd=self.folder,
            check=False,
            timeout=120,
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
            extra_groups=[] if user else None,
        )
        if finished.returncode != 0:
            log = self.folder / "log"
            told = log.read_text(errors="replace")[-2000:] if log.exists() else ""
            raise RuntimeError(f"{program} {arguments[0]} failed: {finished.stderr!r} {told}")


@contextmanager
def running_server() -> Iterator[PostgreSQL]:
    """A new server, gone afterwards; skips the test where the server's programs are missing."""
    found = programs()
    if found is None:
        pytest.skip("no PostgreSQL server (initdb, pg_ctl): apt-get install --no-install-recommends postgresql")
    # Not pytest's own folder: another user cannot enter that.
    folder = Path(tempfile.mkdtemp(prefix="nines-postgresql-"))
    server = PostgreSQL(folder, found, _free_port(), f"pa:ss@w/{secrets.token_hex(8)}?")
    if os.geteuid() == 0:
        shutil.chown(folder, _unprivileged().pw_uid, _unprivileged().pw_gid)
    try:
        secret = folder / "password"
        secret.write_text(server.password)
        if os.geteuid() == 0:
            shutil.chown(secret, _unprivileged().pw_uid)
        server._as_user(
            *("initdb", "-D", str(folder / "data"), "--auth=scram-sha-256", f"--pwfile={secret}"),
            *(f"--username={USER}", "--encoding=UTF8", "--locale=C", "--no-sync"),
        )
        server.start()
        try:
            yield server
        finally:
            if (folder / "data" / "postmaster.pid").exists():
                server.stop("immediate")
    finally:
        shutil.rmtree(folder)


def _unprivileged() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("neither the user postgres nor nobody exists")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
