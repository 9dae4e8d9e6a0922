"""The peer's own environment in the cache folder, made once: nines itself needs no trl."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

from nines.cache import cache_folder
from nines.errors import StorageError, UserError

TORCH = "torch==2.13.0"
REQUIREMENTS = ("trl==1.12.*", "transformers==5.24.0", "accelerate>=1.10,<2", "datasets>=5.2,<5.3")
"""In 1.12 the trainer lies in `trl.experimental.ppo`; it needs nothing beyond what trl asks for."""


class EnvironmentFailed(UserError):
    """pip could not make the peer's environment."""


def environment_folder() -> Path:
    """Where it lies; its name changes with what is in it and with the interpreter."""
    what = repr((TORCH, REQUIREMENTS, sys.version_info[:2], os.environ.get("TORCH_INDEX", "")))
    return cache_folder() / "benchmarks" / f"trl-{hashlib.sha256(what.encode()).hexdigest()[:12]}"


def interpreter() -> Path | None:
    """The environment's python, or None where it was not made yet."""
    folder = environment_folder()
    return folder / "bin" / "python" if (folder / "ready").is_file() else None


def make() -> Path:
    """The environment's python; made first where it is missing, which downloads some hundred megabytes.

    Torch comes first, from `$TORCH_INDEX` if that is set, as in the Makefile; pip's own settings hold throughout.

    Raises:
        EnvironmentFailed: pip failed; its last lines say why.
        StorageError: The cache cannot be written.
    """
    folder = environment_folder()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot write {folder.parent}: {error.strerror}; set NINES_CACHE") from error
    with FileLock(folder.with_suffix(".lock")):
        if (found := interpreter()) is not None:
            return found
        print(f"making the environment of TRL in {folder} (once, a few minutes)", file=sys.stderr, flush=True)
        python = folder / "bin" / "python"
        index = os.environ.get("TORCH_INDEX")
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([sys.executable, "-m", "venv", "--clear", str(folder)])
        _run([*pip, TORCH, *(["--index-url", index] if index else [])])
        _run([*pip, TORCH, *REQUIREMENTS])
        (folder / "ready").touch()
        return python


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        last = "\n".join(done.stdout.strip().splitlines()[-5:])
        raise EnvironmentFailed(f"the environment of TRL could not be made: {' '.join(command)}\n{last}")
