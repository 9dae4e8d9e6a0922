"""Turns pairs of prompt and completion into ragged arrays of token ids, as the model's own tokenizer would."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nines.errors import DataError, WeightsError
from nines.models.encoded_pairs import EncodedPairs, PairTemplate
from nines.models.weights import resolve

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["EncodedPairs", "PairTemplate", "PairTokenizer"]

CODE_VERSION = 1
"""Part of every tokenizer's fingerprint: raise it when the same text would become other arrays."""

_BATCH = 1024
"""Texts handed to the tokenizer at once: enough to keep its threads busy, few enough for progress to move."""


class PairTokenizer:
    """The tokenizer of a model, for pairs of prompt and completion.

    A pair that is too long loses the *start of its prompt*: what happens right before the completion decides how it
    reads. The completion is what is judged, so it is never cut. Where the tokenizer puts no special token between the
    two, as those of language models do not, a space stands there, as in running text.

    Args:
        source: Where the model comes from, see `nines.models.weights`.
        max_tokens: The longest pair, special tokens included; at least 8.

    Raises:
        WeightsError: The source cannot be had or holds no tokenizer.
    """

    def __init__(self, source: str, *, max_tokens: int = 128) -> None:
        if max_tokens < 8:
            raise DataError(f"max_tokens={max_tokens} leaves no room for a pair; give at least 8")
        self.source, self.max_tokens = source, max_tokens
        folder = resolve(source)
        self._tokenizer = _load(folder)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        limit = config.get("max_position_embeddings") or max_tokens
        if max_tokens > limit:
            raise DataError(f"max_tokens={max_tokens} is more than {source} was built for; give at most {limit}")
        self.pad = int(config.get("pad_token_id") or 0)
        self.uses_token_types = int(config.get("type_vocab_size") or 0) > 1
        self.template = _template(self._tokenizer)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all that decides which arrays a text becomes: tokenizer, length limit, this code."""
        parts = (
            CODE_VERSION,
            self.max_tokens,
            self.pad,
            self.uses_token_types,
            self.template,
            self._tokenizer.to_str(),
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]

    def encode(
        self,
        pairs: Sequence[tuple[str, str]],
        *,
        progress: Callable[[int, int], None] | None = None,
        names: Sequence[str] | None = None,
    ) -> EncodedPairs:
        """Tokenise `(prompt, completion)` pairs, in order.

        Args:
            pairs: The texts; a prompt that comes again is tokenised once.
            progress: Called with the texts done and all texts.
            names: What an error calls each pair, such as its line; `row 0`, `row 1`, … by default.

        Raises:
            DataError: Completions that are longer than `max_tokens` allows; each is named.
        """
        prompts = list(dict.fromkeys(prompt for prompt, _ in pairs))
        number = {prompt: position for position, prompt in enumerate(prompts)}
        gap = "" if self.template.between else " "
        ids = self._encode_texts([*prompts, *(gap + completion for _, completion in pairs)], progress=progress)
        room = self.max_tokens - self.template.special_count
        called = names or [f"row {row}" for row in range(len(pairs))]
        problems = [
            f"{called[row]}: the completion has {len(completion)} tokens: {pairs[row][1][:60]!r}"
            for row, completion in enumerate(ids[len(prompts) :])
            if len(completion) > room
        ]
        if problems:
            raise DataError(
                f"completions are never cut, and max_tokens={self.max_tokens} leaves them {room} tokens", problems
            )
        rows: list[NDArray[np.int32]] = []
        starts = np.empty(len(pairs), dtype=np.int32)
        before, between, after = (
            np.array(part, dtype=np.int32) for part in vars(self.template).values() if isinstance(part, tuple)
        )
        for row, (prompt, _) in enumerate(pairs):
            completion = ids[len(prompts) + row]
            whole = ids[number[prompt]]
            kept = whole[max(0, len(whole) - (room - len(completion))) :]
            rows.append(np.concatenate([before, kept, between, completion, after]))
            starts[row] = len(before) + len(kept) + len(between)
        offsets = np.zeros(len(pairs) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        flat = np.concatenate(rows) if rows else np.empty(0, dtype=np.int32)
        return EncodedPairs(flat, offsets, starts, self.template, self.pad, self.uses_token_types)

    def _encode_texts(
        self, texts: list[str], *, progress: Callable[[int, int], None] | None
    ) -> list[NDArray[np.int32]]:
        ids: list[NDArray[np.int32]] = []
        for start in range(0, len(texts), _BATCH):
            encoded = self._tokenizer.encode_batch_fast(texts[start : start + _BATCH], add_special_tokens=False)
            ids.extend(np.array(one.ids, dtype=np.int32) for one in encoded)
            if progress is not None:
                progress(len(ids), len(texts))
        return ids


def _load(folder: Path) -> Tokenizer:
    """The fast tokenizer in `folder`; transformers converts one that is a sentencepiece model only (DeBERTa-v3)."""
    if (folder / "tokenizer.json").is_file():
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    from transformers import AutoTokenizer

    try:
        converted = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, ImportError) as error:
        raise WeightsError(f"{folder} holds no tokenizer that can be read: {str(error).splitlines()[0]}") from error
    return converted.backend_tokenizer


def _template(tokenizer: Tokenizer) -> PairTemplate:
    """Learn from one encoded pair which special tokens the model's tokenizer puts where."""
    encoding = tokenizer.encode("a", "b")
    sequences = encoding.sequence_ids
    first = [position for position, sequence in enumerate(sequences) if sequence == 0]
    second = [position for position, sequence in enumerate(sequences) if sequence == 1]
    return PairTemplate(
        before=tuple(encoding.ids[: first[0]]),
        between=tuple(encoding.ids[first[-1] + 1 : second[0]]),
        after=tuple(encoding.ids[second[-1] + 1 :]),
        prompt_type=encoding.type_ids[first[0]],
        completion_type=encoding.type_ids[second[0]],
    )
