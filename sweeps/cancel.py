"""Stops the workers of a sweep, here at once and elsewhere as soon as they see the mark in the folder."""

from __future__ import annotations

import contextlib
import os
import signal
import time

from nines.files import read_json, write_text
from sweeps.claims import Claim
from sweeps.life_cycle import CANCELLED
from sweeps.study import Sweep


def live_workers(sweep: Sweep) -> list[Claim]:
    """The workers that have signed in and not ended; those of other machines cannot be asked and count as live."""
    found: list[Claim] = []
    for path in sorted((sweep.folder / "workers").glob("*.json")):
        # A worker that ends takes its file away, perhaps just now.
        with contextlib.suppress(FileNotFoundError):
            claim = Claim.read(read_json(path))
            if claim.alive():
                found.append(claim)
            else:
                path.unlink(missing_ok=True)
    return found


def cancel(sweep: Sweep, *, wait_seconds: float = 30.0) -> list[Claim]:
    """Ask every worker to let its trial save a checkpoint and to stop. The next start of the sweep goes on.

    Args:
        sweep: The open sweep.
        wait_seconds: How long to wait for the workers of this machine.

    Returns:
        The workers that still live then, and those of other machines.
    """
    write_text(sweep.folder / CANCELLED, "nines sweep cancel\n")
    for claim in live_workers(sweep):
        if claim.here():
            with contextlib.suppress(ProcessLookupError):
                os.kill(claim.pid, signal.SIGTERM)
    end = time.monotonic() + wait_seconds
    while any(claim.here() for claim in live_workers(sweep)) and time.monotonic() < end:
        time.sleep(0.1)
    return live_workers(sweep)
