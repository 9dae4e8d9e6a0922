"""Where nines keeps what it can make again: fetched weights, tokenised data, outputs of frozen layers."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """The folder for caches: `$NINES_CACHE`, else `$XDG_CACHE_HOME/nines`, else `~/.cache/nines`. Not created here."""
    if explicit := os.environ.get("NINES_CACHE"):
        return Path(explicit).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "nines"
