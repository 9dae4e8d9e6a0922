"""What a run depended on besides its configuration: commit, versions, machine."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RECORDED_PACKAGES = (
    "nines-lab",
    "torch",
    "lightning",
    "transformers",
    "tokenizers",
    "torchmetrics",
    "optuna",
    "hydra-core",
    "omegaconf",
    "datasets",
    "numpy",
    "scipy",
)


def describe_environment(*, seed: int, threads: int) -> dict[str, Any]:
    """Commit and cleanliness of the checkout that the code came from, versions, platform, seed and threads."""
    return {
        "seed": seed,
        "threads": threads,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "versions": {name: _version(name) for name in RECORDED_PACKAGES},
        **_commit(Path(__file__).resolve().parent),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit(folder: Path) -> dict[str, Any]:
    """The commit of the checkout, None for an installed wheel or where git is missing."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    if commit is None or git("ls-files", "--error-unmatch", "environment.py") is None:
        return {"commit": None, "uncommitted_changes": None}
    return {"commit": commit, "uncommitted_changes": bool(git("status", "--porcelain", "--untracked-files=no"))}
