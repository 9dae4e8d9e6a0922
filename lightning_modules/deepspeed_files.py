"""How the files of a DeepSpeed checkpoint are read and written: no code in them runs, no rank leaves the others alone.

Importing this module imports deepspeed.
"""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Generator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from deepspeed.runtime.checkpoint_engine.checkpoint_engine import CheckpointCommitInfo, CheckpointEngine
from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler, LossScaler
from deepspeed.runtime.zero.config import ZeroStageEnum
from deepspeed.utils.tensor_fragment import fragment_address

from lightning_modules.sharded_checkpoints import problem_of
from nines.errors import CheckpointError

# The classes that DeepSpeed pickles beside tensors and plain values; all of them only hold numbers.
TRUSTED = (LossScaler, DynamicLossScaler, ZeroStageEnum, fragment_address)

# torch reads it at each torch.load, also at those inside DeepSpeed that ask for any code to be run.
ONLY_VALUES = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


@contextmanager
def only_values() -> Generator[None, None, None]:
    """Within it `torch.load` takes tensors, plain values and DeepSpeed's own records, and runs nothing else.

    Not to be nested: the end of the inner one would also end what the outer one allows.
    """
    before = os.environ.get(ONLY_VALUES)
    os.environ[ONLY_VALUES] = "1"
    try:
        with torch.serialization.safe_globals(list(TRUSTED)):
            yield
    finally:
        if before is None:
            del os.environ[ONLY_VALUES]
        else:
            os.environ[ONLY_VALUES] = before


@contextmanager
def damage_named(path: Path) -> Generator[None, None, None]:
    """Turn what torch raises for a damaged file into one line.

    Raises:
        CheckpointError: A file below `path` cannot be read.
    """
    try:
        yield
    except (OSError, RuntimeError, EOFError, KeyError, ValueError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"{path} cannot be read as a checkpoint of DeepSpeed: {first}") from error


@contextmanager
def silent() -> Generator[None, None, None]:
    """Keep what DeepSpeed's converters print, and their bars, to ourselves."""
    with io.StringIO() as sink, redirect_stdout(sink), redirect_stderr(sink):
        yield


class ShardFiles(CheckpointEngine):
    """Writes every file to the disk before it goes on, and keeps the first failure instead of raising it.

    A rank that raised in the middle of a write would leave the others waiting at DeepSpeed's next barrier.

    Attributes:
        problem: What failed first, in one line; None so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.name = type(self).__name__
        self.problem: str | None = None
        self._read: dict[str, Any] = {}

    def preload(self, paths: list[Path]) -> None:
        """Read `paths` now, so that what is damaged shows before the ranks depend on each other.

        Raises:
            CheckpointError: A file is damaged.
        """
        for path in paths:
            with damage_named(path), only_values():
                self._read[os.path.realpath(path)] = torch.load(path, map_location="cpu")

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Make a folder."""
        self._note(problem_of(lambda: Path(path).mkdir(parents=True, exist_ok=exist_ok)))

    def create(self, info: CheckpointCommitInfo) -> None:
        """Nothing to prepare."""

    def save(self, state_dict: Any, path: str) -> None:
        """Write one file."""

        def write() -> None:
            with Path(path).open("wb") as file:
                torch.save(state_dict, file)
                file.flush()
                os.fsync(file.fileno())

        self._note(problem_of(write))

    def load(self, path: str, map_location: Any = None) -> Any:
        """Take what `preload` has read, or read one file; to be called within `only_values`."""
        if (found := self._read.pop(os.path.realpath(path), None)) is not None:
            return found
        return torch.load(path, map_location=map_location)

    def commit(self, info: CheckpointCommitInfo) -> bool:
        """The manifest says when all files are there."""
        return True

    def _note(self, problem: str | None) -> None:
        self.problem = self.problem or problem
