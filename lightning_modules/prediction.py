"""Scores for pairs of prompt and completion from a trained classifier.

Three lines do it:

from lightning_modules.prediction import Predictor
predictor = Predictor.load("runs/sweep/quick-1a2b3c4d/best")
scores = predictor.scores([("The shelf tilted.", "It missed her by an inch.")])
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from lightning_modules.checkpoint_io import read_checkpoint
from lightning_modules.classifier import CompletionClassifier
from nines.checkpoint_folder import consolidated_file, is_sharded, read_manifest
from nines.errors import CapabilityError, CheckpointError, ConfigError
from nines.models.pairs import PairTokenizer
from nines.run_folder import RunFolder
from nines.statistics.calibration import CalibrationMap
from nines.threshold_file import read_threshold

Pair = tuple[str, str]
Row = TypeVar("Row")


class Predictor:
    """A classifier in evaluation mode with its tokenizer and, where known, its threshold.

    Scores are computed in float32 whatever the training precision was, and do not depend on which other pairs share a
    batch beyond float32 rounding.

    Args:
        module: The trained classifier; put into evaluation mode here.
        threshold: Completions whose score lies below it are accepted; None if unknown.
        calibration: The map of `nines calibrate` from scores to probabilities; None if unknown. Scores stay raw, so
            that no map changes a decision.
        batch_size: Pairs in one forward pass, at least 1.
    """

    def __init__(
        self,
        module: CompletionClassifier,
        *,
        threshold: float | None = None,
        calibration: CalibrationMap | None = None,
        batch_size: int = 64,
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size must be at least 1, got {batch_size}")
        self.module = module.eval()
        self.threshold = threshold
        self.calibration = calibration
        self.batch_size = batch_size
        self.tokenizer = PairTokenizer(module.model.source, max_tokens=module.max_tokens)

    @classmethod
    def load(cls, path: str | Path, *, device: str = "cpu", batch_size: int = 64) -> Predictor:
        """Load from a run folder, from the folder that `nines sweep best` makes, or from a checkpoint file.

        Raises:
            CheckpointError: There is no checkpoint, it is damaged, or it is of another architecture.
            ConfigError: The threshold file beside it is damaged.
            CapabilityError: This machine has no such device.
        """
        checkpoint, threshold_file = locate_checkpoint(Path(path))
        content = read_checkpoint(checkpoint)
        if "hyper_parameters" not in content or "state_dict" not in content:
            raise CheckpointError(f"{checkpoint} is no checkpoint of a classifier of this project")
        module = CompletionClassifier(**content["hyper_parameters"])
        module.on_load_checkpoint(content)
        module.load_state_dict(content["state_dict"])
        known = read_threshold(threshold_file)
        try:
            module = module.to(device)
        except (RuntimeError, AssertionError) as error:  # a build without CUDA asserts
            raise CapabilityError(f"device={device} cannot be used here: {str(error).splitlines()[0]}") from error
        return cls(
            module,
            threshold=None if known is None else known.threshold,
            calibration=None if known is None else known.calibration,
            batch_size=batch_size,
        )

    def scores(self, pairs: Sequence[Pair], *, names: Sequence[str] | None = None) -> NDArray[np.float64]:
        """P(injurious) of each (prompt, completion) as the model says it, shape (pairs,), in the order given.

        These raw scores are what thresholds are compared with; `calibration.apply` makes probabilities of them.

        Args:
            pairs: The texts.
            names: What an error calls each pair, such as its line; `row 0`, `row 1`, … by default.

        Raises:
            DataError: A completion is longer than the model can read.
        """
        result = np.empty(len(pairs), dtype=np.float64)
        if not pairs:
            return result
        encoded = self.tokenizer.encode(list(pairs), names=names)
        by_length = np.argsort(encoded.lengths, kind="stable")
        for start in range(0, len(pairs), self.batch_size):
            rows = by_length[start : start + self.batch_size]
            batch = {name: value.to(self.module.device) for name, value in encoded.collate(rows).items()}
            with torch.inference_mode():
                result[rows] = self.module(batch).cpu().numpy()
        return result

    def stream(self, pairs: Iterable[Pair], *, window: int = 1024) -> Iterator[float]:
        """Scores one by one, in order, reading `window` pairs ahead: memory stays bounded for any number of pairs."""
        for chunk in windows(pairs, window):
            yield from self.scores(chunk).tolist()


def locate_checkpoint(path: Path) -> tuple[Path, Path]:
    """The checkpoint and threshold file that a user means by a run folder or a checkpoint.

    Raises:
        CheckpointError: Neither a checkpoint nor a folder with one.
    """
    if path.is_file():
        run = path.parent.parent if path.parent.name == "checkpoints" else path.parent
        return path, RunFolder(run).threshold
    if is_sharded(path):
        run = path.parent.parent if path.parent.name == "checkpoints" else path.parent
        return _made_of_shards(path, named=path), RunFolder(run).threshold
    folder = RunFolder(path)
    for candidate in (folder.best, folder.last):
        if candidate.is_file():
            return candidate, folder.threshold
        if is_sharded(candidate):
            return _made_of_shards(candidate, named=path), folder.threshold
    raise CheckpointError(
        f"{path} holds no checkpoint; give a run folder, the folder of `nines sweep best`, or a .ckpt file"
    )


def _made_of_shards(checkpoint: Path, *, named: Path) -> Path:
    """The one file that was made of exactly this sharded checkpoint.

    Raises:
        CheckpointError: Nobody has made it yet; with the command that does.
    """
    manifest = read_manifest(checkpoint)
    file = consolidated_file(checkpoint, manifest)
    if not file.is_file():
        raise CheckpointError(
            f"{checkpoint} is in {manifest.ranks} shards of {manifest.trainer}; make one file of it first: "
            f"nines checkpoint consolidate {named}"
        )
    return file


def windows(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    """Lists of `size` consecutive rows; the last may be shorter."""
    iterator = iter(rows)
    while chunk := list(islice(iterator, size)):
        yield chunk
