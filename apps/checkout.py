"""The checkout that the running code came from: its commit, and what differs from it."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nines.errors import ConfigError

GIT_SECONDS = 30
# New files that change what a run computes; data and notes lie about in every checkout.
CODE = ("*.py", "*.yaml")
# A larger difference is data that somebody tracks; the first part of it is kept.
MOST_BYTES = 5 * 2**20
# Of one new file; what is larger was generated.
MOST_NEW_BYTES = 2**20
SHOWN_FILES = 5
# Whatever the user's configuration says: neither colours nor a program of the user's own.
PLAIN = ("--no-ext-diff", "--no-textconv", "--no-color")


@dataclass(frozen=True)
class Checkout:
    """What git says.

    Attributes:
        commit: The commit that is checked out; None for an installed wheel, or where git is missing.
        difference: `git diff` of the tracked files against the commit, "" when there is none.
        changed: The tracked files that differ.
        untracked: New code that no commit holds.
        additions: The untracked files as a difference, in the form of `git diff`.
        left_out: The untracked files that are missing there: too large, or not to be read.
    """

    commit: str | None
    difference: str = ""
    changed: tuple[str, ...] = ()
    untracked: tuple[str, ...] = ()
    additions: str = ""
    left_out: tuple[str, ...] = ()

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
        # With zero bytes between, git leaves names as they are.
        listed = _git(top, "ls-files", "-z", "--others", "--exclude-standard", "--", *CODE) or ""
        untracked = tuple(name for name in listed.split("\0") if name)
        difference = (_git(top, "diff", *PLAIN, "HEAD") or "") if changed else ""
        if len(difference) > MOST_BYTES:
            difference = f"{difference[:MOST_BYTES]}\n(cut after {MOST_BYTES} characters)\n"
        additions, left_out = _additions(top, untracked)
        return cls(commit.strip(), difference, tuple(changed.splitlines()), untracked, additions, left_out)


def check_clean(checkout: Checkout, *, required: bool) -> str | None:
    """The line that warns of a checkout whose commit does not say what code runs; None where all is committed.

    Raises:
        ConfigError: A clean checkout is required, and this one is not.
    """
    if not checkout.dirty:
        return None
    files = [*checkout.changed, *(f"{name} (new)" for name in checkout.untracked)]
    listed = _shown(files)
    if required:
        raise ConfigError(f"launcher.require_clean: not committed: {listed}; commit it, or set require_clean=false")
    without = f" without {_shown(checkout.left_out)}" if checkout.left_out else ""
    return f"not committed: {listed}; each run keeps the difference in environment.diff{without}"


def _shown(files: Sequence[str]) -> str:
    more = f" and {len(files) - SHOWN_FILES} more" if len(files) > SHOWN_FILES else ""
    return f"{', '.join(files[:SHOWN_FILES])}{more}"


def _additions(top: Path, untracked: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The new files as a difference, as far as they fit into its bounds, and the names of the others."""
    parts: list[str] = []
    left_out: list[str] = []
    size = 0
    for name in untracked:
        try:
            length = (top / name).stat().st_size
            if length > MOST_NEW_BYTES or size + length > MOST_BYTES:
                left_out.append(name)
                continue
            text = (top / name).read_text(encoding="utf-8", errors="replace")
        except OSError:  # removed meanwhile, or not ours to read
            left_out.append(name)
            continue
        size += length
        parts.append(_addition(name, text))
    return "".join(parts), tuple(left_out)


def _addition(name: str, text: str) -> str:
    """What `git diff` would print of a new file with `text`, so that `git apply` makes it again."""
    head = f"diff --git a/{name} b/{name}\nnew file mode 100644\n"
    if not text:
        return head
    lines = text.removesuffix("\n").split("\n")
    end = "" if text.endswith("\n") else "\\ No newline at end of file\n"
    added = "".join(f"+{line}\n" for line in lines)
    return f"{head}--- /dev/null\n+++ b/{name}\n@@ -0,0 +1,{len(lines)} @@\n{added}{end}"


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
