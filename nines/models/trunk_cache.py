"""Keeps what frozen layers make of each pair on disk, computed once and shared by all trials of a sweep."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import ArrayLike, NDArray

from nines.cache import cache_folder
from nines.errors import CapabilityError, StorageError
from nines.models.encoded_pairs import EncodedPairs

if TYPE_CHECKING:
    from torch import Tensor

    from nines.models.classifier import PairClassifier

CODE_VERSION = 1
"""Part of every key: raise it when the same input would give other hidden states."""

_TOKENS_AT_ONCE = 8192
_DTYPES = {
    "32-true": torch.float32,
    "32": torch.float32,
    "bf16-mixed": torch.bfloat16,
    "bf16-true": torch.bfloat16,
    "bf16": torch.bfloat16,
}


@dataclass(frozen=True)
class CachedHidden:
    """Hidden states of encoded pairs, mapped from disk, ragged like the pairs themselves.

    Args:
        hidden: (tokens of all rows, hidden) float32 or bfloat16; mapped, so pages are shared between processes.
        pairs: Where rows begin, and which tokens are the completion.
    """

    hidden: Tensor
    pairs: EncodedPairs

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(rows,) tokens of each row."""
        return self.pairs.lengths

    def collate(self, rows: ArrayLike) -> dict[str, Tensor]:
        """The given rows as one batch: as `EncodedPairs.collate`, with `hidden_states` instead of ids.

        Returns:
            `hidden_states` (batch, tokens, hidden) in the dtype of the cache; what stands at padding is finite and
            without meaning; `attention_mask` and `completion_mask` (batch, tokens) bool.
        """
        chosen = np.asarray(rows, dtype=np.int64)
        masks = self.pairs.masks(chosen)
        attention = masks["attention_mask"]
        starts = self.pairs.offsets[chosen, None]
        # One gather of whole tokens; padding reads the row's first token, which the masks hide.
        index = torch.from_numpy(np.where(attention, starts + np.arange(attention.shape[1]), starts).ravel())
        gathered = self.hidden.index_select(0, index).view(*attention.shape, self.hidden.shape[1])
        return {"hidden_states": gathered, **{name: torch.from_numpy(mask) for name, mask in masks.items()}}


class TrunkCache:
    """Finds or makes the hidden states for one set of pairs."""

    @staticmethod
    def open_or_build(
        classifier: PairClassifier,
        pairs: EncodedPairs,
        *,
        tokenizer_fingerprint: str,
        precision: str,
        folder: Path | None = None,
        progress: Callable[[int, int], None] | None = None,
        weights_fingerprint: str | None = None,
    ) -> CachedHidden:
        """The outputs of the classifier's frozen layers for `pairs`, read from disk or computed now.

        Several processes that ask at once compute once: the others wait and read. They are computed on the device that
        the classifier is on, in batches of rows of nearly one length.

        Args:
            classifier: With `freeze_layers` of at least 1.
            pairs: Each split's rows have a cache of their own.
            tokenizer_fingerprint: `PairTokenizer.fingerprint`, which covers the truncation.
            precision: Lightning's name of the precision that training uses: 32-true, bf16-mixed or bf16-true.
            folder: Where caches lie; by default `trunk` in nines' cache folder.
            progress: Called with the tokens done and all tokens, if they are computed.
            weights_fingerprint: `trunk_fingerprint(classifier)`, where the caller has it: several splits need it once.

        Raises:
            CapabilityError: The precision is another.
            StorageError: The disk has no room, or refuses.
        """
        if precision not in _DTYPES:
            raise CapabilityError(
                f"the trunk cache keeps float32 and bfloat16 only, not {precision}; "
                "set module.model.trunk_cache=false or trainer.precision=bf16-mixed"
            )
        dtype = _DTYPES[precision]
        weights = weights_fingerprint or trunk_fingerprint(classifier)
        key = (CODE_VERSION, weights, tokenizer_fingerprint, pairs.fingerprint, classifier.trunk_name, str(dtype))
        target = (folder or cache_folder() / "trunk") / hashlib.sha256(repr(key).encode()).hexdigest()[:32]
        if not target.is_dir():
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                with FileLock(target.with_suffix(".lock")):
                    if not target.is_dir():
                        _build(classifier, pairs, dtype=dtype, target=target, progress=progress)
            except OSError as error:
                raise StorageError(f"cannot write the trunk cache {target}: {error.strerror or error}") from error
        return _open(target, pairs, dtype=dtype, width=classifier.trunk_width)


def trunk_fingerprint(classifier: PairClassifier) -> str:
    """A hash of the frozen parameters as they are now, wherever they were loaded from, and of the architecture.

    Dropout has no part in it, since frozen layers run without: the trials of a dropout sweep share one cache.
    """
    config: Any = classifier.encoder.config
    settings: dict[str, object] = config.to_diff_dict()
    architecture = {
        name: value
        for name, value in settings.items()
        if "dropout" not in name and not name.startswith("_") and name != "transformers_version"
    }
    digest = hashlib.sha256(json.dumps(architecture, sort_keys=True, default=str).encode())
    frozen = classifier.frozen_parameter_names()
    for name, parameter in classifier.named_parameters():
        if name in frozen:
            digest.update(name.encode())
            digest.update(parameter.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:32]


def length_sorted_batches(lengths: NDArray[np.int64], *, tokens: int = _TOKENS_AT_ONCE) -> Iterator[NDArray[np.int64]]:
    """Row numbers in batches of similar length, longest first, each of at most `tokens` tokens with padding."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, tokens // max(1, int(lengths[order[start]])))
        yield order[start : start + size]
        start += size


def _build(
    classifier: PairClassifier,
    pairs: EncodedPairs,
    *,
    dtype: torch.dtype,
    target: Path,
    progress: Callable[[int, int], None] | None,
) -> None:
    total, width = int(pairs.offsets[-1]), classifier.trunk_width
    needed, free = total * width * dtype.itemsize, shutil.disk_usage(target.parent).free
    if needed > free:
        raise StorageError(
            f"the trunk cache needs {needed / 1e9:.1f} GB in {target.parent}, which has {free / 1e9:.1f} GB; "
            "free some, point NINES_CACHE elsewhere, or set module.model.trunk_cache=false"
        )
    device = next(classifier.parameters()).device
    with tempfile.TemporaryDirectory(prefix=".building-", dir=target.parent) as temporary:
        fresh = Path(temporary) / "trunk"
        fresh.mkdir()
        # numpy has no bfloat16: its bits are kept as uint16.
        stored = np.uint16 if dtype == torch.bfloat16 else np.float32
        kept = np.lib.format.open_memmap(fresh / "hidden.npy", mode="w+", dtype=stored, shape=(total, width))
        done = 0
        for rows in length_sorted_batches(pairs.lengths):
            batch = {name: tensor.to(device) for name, tensor in pairs.collate(rows).items()}
            with _autocast(device, dtype):
                hidden = classifier.trunk(batch).to(dtype)
            ragged = hidden[batch["attention_mask"]].cpu()
            bits = ragged.view(torch.uint16) if dtype == torch.bfloat16 else ragged
            kept[_token_index(pairs, rows)] = bits.numpy()
            done += len(ragged)
            if progress is not None:
                progress(done, total)
        kept.flush()
        fresh.replace(target)


def _open(target: Path, pairs: EncodedPairs, *, dtype: torch.dtype, width: int) -> CachedHidden:
    # Copy-on-write, since torch has no read-only tensors; nobody writes, so all processes share the pages.
    kept = np.load(target / "hidden.npy", mmap_mode="c")
    if kept.shape != (int(pairs.offsets[-1]), width):
        raise StorageError(f"the trunk cache {target} does not fit its pairs; remove it and start again")
    return CachedHidden(torch.from_numpy(kept).view(dtype), pairs)


def _token_index(pairs: EncodedPairs, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([np.arange(pairs.offsets[row], pairs.offsets[row + 1]) for row in rows])


def _autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[object]:
    return torch.autocast(device.type, dtype=torch.bfloat16) if dtype == torch.bfloat16 else nullcontext()
