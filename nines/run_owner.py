"""Who may write in a run folder: the processes that were given the token in its `owner.json`.

A process that lost its run without knowing (its machine was silent for a while, say) would go on writing beside the
one that took the run over. So whoever starts a run writes a new token into the folder and gives it to the processes it
starts; they look before they write. A process without a token is not watched: it may write everywhere.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nines.errors import NinesError
from nines.files import read_json, write_json

OWNER_FILE = "owner.json"
TOKEN_VARIABLE = "NINES_OWNER"


class Superseded(NinesError):
    """The run belongs to other processes now; this one must end and write nothing more."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"{folder} was taken over by other processes; this one ends and leaves it to them")


def take_over(folder: Path) -> str:
    """Make whoever is given the returned token (in the variable `NINES_OWNER`) the only owner of `folder`.

    Raises:
        StorageError: The folder cannot be written.
    """
    token = secrets.token_hex(8)
    write_json(folder / OWNER_FILE, {"token": token})
    return token


@contextmanager
def owning(folder: Path) -> Iterator[None]:
    """Own `folder` inside the block, with the processes started there; they are not told apart from this one.

    A process that was given a token already keeps it: who started it decides what it owns.

    Raises:
        StorageError: The folder cannot be written.
    """
    if os.environ.get(TOKEN_VARIABLE):
        yield
        return
    os.environ[TOKEN_VARIABLE] = take_over(folder)
    try:
        yield
    finally:
        del os.environ[TOKEN_VARIABLE]


def owns(folder: Path, *, token: str | None = None) -> bool:
    """Whether this process may write in `folder`: it was given no token, or the folder holds the same one.

    Args:
        folder: The run folder.
        token: That of the process; None: the one in its variables.
    """
    own = os.environ.get(TOKEN_VARIABLE) if token is None else token
    if not own:
        return True
    try:
        return str(read_json(folder / OWNER_FILE)["token"]) == own
    except FileNotFoundError:
        return True


def ensure_owned(folder: Path, *, token: str | None = None) -> None:
    """Return if this process may write in `folder`, see `owns`.

    Raises:
        Superseded: It may not.
    """
    if not owns(folder, token=token):
        raise Superseded(folder)
