"""URLs of storages: which forms there are, absolute paths, and passwords, which are kept out of every one of them.

Whoever can read a run folder, a log or the process list must not learn a password. So the first to see one takes it
out of the URL and puts it into the environment of this process, which its children inherit and nobody else can read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from urllib.parse import unquote, unquote_plus

from nines.errors import SweepError

JOURNAL = "journal:"
PASSWORD_VARIABLE = "NINES_STORAGE_PASSWORD"

_WORD = re.compile(
    r"""^(?P<before>(?:\+{0,2}storage=)?["']?)(?P<url>[A-Za-z][\w+.-]*://.*?)(?P<after>["']?)$""", re.DOTALL
)
# What may be a password in something that is not a URL, such as one with a slash too few.
_MISSPELT = re.compile(r":[^@]*@")
_IN_QUERY = re.compile(r"(?P<before>[?&])(?:password|passwd|pwd)=(?P<password>[^&]*)&?")


def default_url(folder: Path) -> str:
    """The journal file inside the sweep's `folder`."""
    return f"{JOURNAL}{folder.resolve() / 'study.journal'}"


def absolute_url(url: str) -> str:
    """`url` with the path of a journal or sqlite file made absolute, so that every process finds the same file.

    A password is moved to the environment, see `move_password`.

    Raises:
        SweepError: It is neither `journal:<file>` nor a URL.
    """
    if url.startswith(JOURNAL):
        return f"{JOURNAL}{Path(url.removeprefix(JOURNAL)).expanduser().resolve()}"
    if url.startswith("sqlite:///") and not url.startswith("sqlite:////") and ":memory:" not in url:
        return f"sqlite:///{Path(url.removeprefix('sqlite:///')).expanduser().resolve()}"
    if "://" not in url:
        raise SweepError(
            f"storage: {_MISSPELT.sub(':***@', url)!r} is neither journal:<file> nor a SQLAlchemy URL such as "
            "sqlite:///study.db or postgresql://user@host/database"
        )
    return move_password(url)


def split_password(url: str) -> tuple[str, str | None]:
    """`url` without its password, and the password as it is meant (percent signs decoded); None when there is none.

    A password stands before the host (`user:password@`) or in the query (`?password=`). One that holds `@`, `/` or `?`
    unquoted is not a valid URL; it is taken out all the same.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.startswith("sqlite"):
        return url, None
    password = None
    user = re.match(r"[^:/?]*", rest)
    end = user.end() if user else 0
    if rest[end : end + 1] == ":" and "@" in rest:
        authority = re.match(r"[^/?]*", rest)
        until = rest.rfind("@", 0, authority.end() if authority else 0)
        if until < 0:
            until = rest.find("@")
        if until > end:
            password = unquote(rest[end + 1 : until]) or None
            rest = rest[:end] + rest[until:]
    if (found := _IN_QUERY.search(rest)) is not None:
        password = unquote_plus(found["password"]) or password
        rest = _IN_QUERY.sub(r"\g<before>", rest).rstrip("?&")
    return f"{scheme}://{rest}", password


def move_password(url: str, environment: MutableMapping[str, str] = os.environ) -> str:
    """`url` without its password, which is `NINES_STORAGE_PASSWORD` in `environment` from now on."""
    shown, password = split_password(url)
    if password is not None:
        environment[PASSWORD_VARIABLE] = password
    return shown


def move_passwords(words: Sequence[str], environment: MutableMapping[str, str] = os.environ) -> list[str]:
    """The words of a command line with the passwords moved out of `storage=<url>` and bare URLs."""
    moved: list[str] = []
    for word in words:
        found = _WORD.match(word)
        moved.append(f"{found['before']}{move_password(found['url'], environment)}{found['after']}" if found else word)
    return moved


def password_of(environment: Mapping[str, str] = os.environ) -> str | None:
    """The password for storages, None where it is left to `~/.pgpass`, `PGPASSWORD` or the server."""
    return environment.get(PASSWORD_VARIABLE) or None
