"""Loads weights with transformers without its progress bars and its table of unused keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def quietly() -> Iterator[None]:
    """Without transformers' bar and its table of unused keys for each file loaded: a sweep loads hundreds of times."""
    from transformers.utils import logging as transformers_logging

    logging: Any = transformers_logging  # partly untyped
    bar, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
