"""The checkout that the running code came from: its commit, and what differs from it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from nines.errors import ConfigError

GIT_SECONDS = 30
# New files that change what a run computes; data and notes lie about in every checkout.
CODE = ("*.py", "*.yaml")
# A larger difference is data that somebody tracks; the first part of it is kept.
MOST_BYTES = 5 * 2**20
SHOWN_FILES = 5


@dataclass(frozen=True)
class Checkout:
    """What git says.

    Attributes:
        commit: The commit that is checked out; None for an installed wheel, or where git is missing.
        difference: `git diff` of the tracked files against the commit, "" when there is none.
        changed: The tracked files that differ.
        untracked: New code that no commit holds.
    """

    commit: str | None
    difference: str = ""
    changed: tuple[str, ...] = ()
    untracked: tuple[str, ...] = ()

    @property
    def dirty(self) -> bool:
        """Whether the commit alone does not say what code ran."""
        return bool(self.difference or self.untracked)

    @classmethod
    def holding(cls, module: Path) -> Checkout:
        """The checkout that tracks the file `module`."""
        folder = module.resolve().parent
        commit = _git(folder, "rev-parse", "HEAD")
        root = _git(folder, "rev-parse", "--show-toplevel")
        if commit is None or root is None or _git(folder, "ls-files", "--error-unmatch", module.name) is None:
            return cls(commit=None)
        top = Path(root.strip())
        changed = _git(top, "diff", "HEAD", "--name-only") or ""
        untracked = _git(top, "ls-files", "--others", "--exclude-standard", "--", *CODE) or ""
        difference = (_git(top, "diff", "HEAD") or "") if changed else ""
        if len(difference) > MOST_BYTES:
            difference = f"{difference[:MOST_BYTES]}\n(cut after {MOST_BYTES} characters)\n"
        return cls(commit.strip(), difference, tuple(changed.splitlines()), tuple(untracked.splitlines()))


def check_clean(checkout: Checkout, *, required: bool) -> str | None:
    """The line that warns of a checkout whose commit does not say what code runs; None where all is committed.

    Raises:
        ConfigError: A clean checkout is required, and this one is not.
    """
    if not checkout.dirty:
        return None
    files = [*checkout.changed, *(f"{name} (new)" for name in checkout.untracked)]
    more = f" and {len(files) - SHOWN_FILES} more" if len(files) > SHOWN_FILES else ""
    listed = f"{', '.join(files[:SHOWN_FILES])}{more}"
    if required:
        raise ConfigError(f"launcher.require_clean: not committed: {listed}; commit it, or set require_clean=false")
    return f"not committed: {listed}; each run keeps the difference in environment.diff"


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints, None where it fails or is missing."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
