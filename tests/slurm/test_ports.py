"""Ports for ranks to meet at."""

from __future__ import annotations

import socket

from slurm.ports import free_port


def test_the_port_can_be_listened_on_and_is_not_taken_twice_while_it_is() -> None:
    with socket.socket() as listener:
        listener.bind(("", free_port()))
        listener.listen()
        assert free_port() != listener.getsockname()[1]
