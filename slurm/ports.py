"""Ports for ranks to meet at."""

from __future__ import annotations

import socket


def free_port() -> int:
    """A port that nobody listens on now on this machine, which for a batch step is the one of the ranks' first."""
    with socket.socket() as listener:
        listener.bind(("", 0))
        port: int = listener.getsockname()[1]
    return port
