"""Who may write in a run folder: the processes that were given the token in its `owner.json`.

A process that lost its run without knowing (its machine was silent for a while, say) would go on writing beside the
one that took the run over. So whoever starts a run writes a new token into the folder and gives it to the processes it
starts; they look before they write. A process without a token is not watched: it may write everywhere.
"""

from __future__ import annotations

import os
import secrets
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


def owns(folder: Path) -> bool:
    """Whether this process may write in `folder`: it was given no token, or the folder holds the same one."""
    own = os.environ.get(TOKEN_VARIABLE)
    if not own:
        return True
    try:
        return str(read_json(folder / OWNER_FILE)["token"]) == own
    except FileNotFoundError:
        return True


def ensure_owned(folder: Path) -> None:
    """Return if this process may write in `folder`.

    Raises:
        Superseded: It may not.
    """
    if not owns(folder):
        raise Superseded(folder)
