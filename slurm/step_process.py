"""The process of a running srun."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Start:
    """Starts an srun, whose complaints go into a file of their own besides the job's log.

    Attributes:
        command: Its words.
        complaints: File for its standard error; overwritten.
    """

    command: Sequence[str]
    complaints: Path

    def __call__(self, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start it with the variables `environment`."""
        with self.complaints.open("wb") as errors:
            return subprocess.Popen(list(self.command), stdin=subprocess.DEVNULL, stderr=errors, env=dict(environment))

    def complaint(self) -> str:
        """What it said."""
        return self.complaints.read_text(encoding="utf-8", errors="replace") if self.complaints.exists() else ""
