"""Tokens made once: kept in the cache under a hash of what they depend on, shared by all processes and mixtures."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from nines.cache import cache_folder
from nines.errors import StorageError
from nines.models.encoded_pairs import EncodedPairs

if TYPE_CHECKING:
    from nines.models.pairs import PairTokenizer


def tokenise(
    pairs: Sequence[tuple[str, str]],
    tokenizer: PairTokenizer,
    *,
    folder: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> EncodedPairs:
    """The tokens of `pairs`, mapped from the cache; made and kept there by the first process that asks.

    Args:
        pairs: Prompt and completion of each row.
        tokenizer: Its fingerprint covers vocabulary, truncation and the code that joins the halves.
        folder: Where to keep them; `tokenised` in the cache folder by default.
        progress: Called with the texts done and all texts, only if tokens are made.

    Raises:
        DataError: A completion does not fit into the tokenizer's limit.
        StorageError: The cache cannot be written.
    """
    root = folder or cache_folder() / "tokenised"
    place = root / content_key(pairs, tokenizer.fingerprint)
    if (found := _load(place, rows=len(pairs))) is not None:
        return found
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(place.with_suffix(".lock")):
            if (found := _load(place, rows=len(pairs))) is not None:  # another process made them while this one waited
                return found
            encoded = tokenizer.encode(pairs, progress=progress)
            if place.exists():
                shutil.rmtree(place)
            encoded.save(place)
    except OSError as error:
        raise StorageError(
            f"cannot keep tokens in {root}: {error.strerror or error}; free space there or set NINES_CACHE"
        ) from error
    return EncodedPairs.load(place)


def content_key(pairs: Sequence[tuple[str, str]], fingerprint: str) -> str:
    """A name for the tokens of `pairs`: a hash of every text, in order, and of the tokenizer."""
    digest = hashlib.sha256(json.dumps(fingerprint).encode())
    for pair in pairs:
        for text in pair:
            encoded = text.encode()
            digest.update(f"{len(encoded)}:".encode() + encoded)  # lengths keep ("ab", "c") and ("a", "bc") apart
    return digest.hexdigest()[:32]


def _load(place: Path, *, rows: int) -> EncodedPairs | None:
    """The tokens in `place`; None if they are absent or a file of them was damaged or removed."""
    try:
        encoded = EncodedPairs.load(place)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    whole = len(encoded) == rows and len(encoded.offsets) == rows + 1 and encoded.offsets[-1] == len(encoded.input_ids)
    return encoded if whole else None
