"""Several gloo ranks on the CPU of this machine, as torchrun would start them, for tests."""

import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_only

from tests.trainings import fork, train_small, wait_for


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def run_ranks(task: Callable[[int], int | None], *, ranks: int = 2, timeout: float = 240.0) -> list[int]:
    """Call `task(rank)` in one forked process for each rank, under the environment that torchrun sets.

    As soon as one rank dies the others are killed, too, since they would wait for it.

    Args:
        task: What each rank does; its return value is the exit code, None being 0.
        ranks: How many.
        timeout: Seconds until all of them are killed.

    Returns:
        The exit codes by rank, or minus the signal that killed it.
    """
    shared = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "WORLD_SIZE": str(ranks),
        "TORCHELASTIC_RUN_ID": "test",  # by this Lightning knows that it need not start ranks itself
    }
    children = [
        fork(lambda rank=rank: task(rank), {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)})  # type: ignore[misc]
        for rank in range(ranks)
    ]
    until = time.monotonic() + timeout
    running = dict(enumerate(children))
    codes: dict[int, int] = {}
    while running:
        for rank, child in list(running.items()):
            if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                codes[rank] = wait_for(running.pop(rank))
        if any(codes.values()) or time.monotonic() > until:
            for child in running.values():
                os.kill(child, signal.SIGKILL)
        time.sleep(0.02)
    return [codes[rank] for rank in range(ranks)]


def train_on_ranks(folder: Path, overrides: Sequence[str], *, ranks: int = 2) -> None:
    """Train `tests.trainings.SMALL` with `overrides` on ranks of this machine; all have to end well."""

    def train(rank: int) -> None:
        rank_zero_only.rank = rank  # a fresh process reads it from the environment while it imports Lightning
        train_small(folder, overrides)

    assert run_ranks(train, ranks=ranks) == [0] * ranks
