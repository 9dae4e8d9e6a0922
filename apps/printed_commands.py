"""The commands that `nines` prints for the user to go on with: they mean the same wherever they are pasted."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from apps.config import CONFIG_DIR_VARIABLE


def config_dir_words(config_dir: Path | None = None) -> list[str]:
    """`--config-dir` and the absolute folder of the user's own configurations; nothing where there is none.

    Args:
        config_dir: The folder; None: the one named by `$NINES_CONFIG_DIR`, as everywhere.
    """
    inherited = os.environ.get(CONFIG_DIR_VARIABLE)
    folder = config_dir if config_dir is not None else Path(inherited) if inherited else None
    return [] if folder is None else ["--config-dir", str(folder.expanduser().absolute())]


def printed(*words: str, config_dir: Path | None = None) -> str:
    """`nines <words>` for a shell, with the user's own configurations: without them it would be another command.

    Args:
        words: A command that takes `--config-dir`, and its words.
        config_dir: See `config_dir_words`.
    """
    return shlex.join(["nines", *words, *config_dir_words(config_dir)])


def again(words: Sequence[str]) -> str:
    """The command that starts the sweep again."""
    return printed("sweep", *words)
