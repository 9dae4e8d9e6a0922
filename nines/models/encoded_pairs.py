"""Tokenised pairs as ragged arrays: batches are padded from them, and the trials of a sweep map them from disk."""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class PairTemplate:
    """The special tokens around a pair, and the token type of each half, as the model's own tokenizer places them."""

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    prompt_type: int
    completion_type: int

    @property
    def special_count(self) -> int:
        """How many special tokens a pair carries."""
        return len(self.before) + len(self.between) + len(self.after)


@dataclass(frozen=True)
class EncodedPairs:
    """Tokenised pairs without padding: row i is `input_ids[offsets[i]:offsets[i + 1]]`.

    Args:
        input_ids: (tokens of all rows,) int32.
        offsets: (rows + 1,) int64.
        completion_start: (rows,) int32; index within the row of the completion's first token.
        template: What surrounds the halves; the completion ends `len(template.after)` before the row does.
        pad: The id that fills short rows.
        uses_token_types: Whether the model wants `token_type_ids`.
    """

    input_ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    completion_start: NDArray[np.int32]
    template: PairTemplate
    pad: int
    uses_token_types: bool

    def __len__(self) -> int:
        return len(self.completion_start)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """(rows,) tokens of each row, special ones included."""
        return np.diff(self.offsets)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the content: equal rows in equal order have equal fingerprints."""
        digest = hashlib.sha256(repr((self.template, self.pad, self.uses_token_types)).encode())
        for array in (self.input_ids, self.offsets, self.completion_start):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()[:32]

    def collate(self, rows: ArrayLike) -> dict[str, Tensor]:
        """The given rows as one batch, padded to its longest row.

        Returns:
            Tensors of (batch, tokens): `input_ids` int64, `attention_mask` bool (False on padding), `completion_mask`
            bool (True on the completion's tokens, special ones excluded) and, if the model uses them,
            `token_type_ids` int64.
        """
        import torch

        chosen = np.asarray(rows, dtype=np.int64)
        masks = self.masks(chosen)
        attention = masks["attention_mask"]
        positions = self.offsets[chosen, None] + np.arange(attention.shape[1])
        # Padding reads the row's first token, which always exists, and is overwritten.
        ids = self.input_ids[np.where(attention, positions, self.offsets[chosen, None])]
        batch = {"input_ids": np.where(attention, ids, self.pad).astype(np.int64), **masks}
        if self.uses_token_types:
            second = (np.arange(attention.shape[1]) >= self.completion_start[chosen, None]) & attention
            batch["token_type_ids"] = np.where(second, self.template.completion_type, self.template.prompt_type).astype(
                np.int64
            )
        return {name: torch.from_numpy(array) for name, array in batch.items()}

    def masks(self, rows: ArrayLike) -> dict[str, NDArray[Any]]:
        """`attention_mask` and `completion_mask` of the given rows, each (batch, tokens) bool."""
        chosen = np.asarray(rows, dtype=np.int64)
        lengths = self.lengths[chosen, None]
        token = np.arange(int(lengths.max(initial=0)))
        within = (token >= self.completion_start[chosen, None]) & (token < lengths - len(self.template.after))
        return {"attention_mask": token < lengths, "completion_mask": within}

    def save(self, folder: Path) -> None:
        """Write the arrays to `folder`, which appears as a whole; another process that was faster wins."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
            fresh = Path(temporary) / "pairs"
            fresh.mkdir()
            for name in ("input_ids", "offsets", "completion_start"):
                np.save(fresh / f"{name}.npy", getattr(self, name))
            about = {"template": vars(self.template), "pad": self.pad, "uses_token_types": self.uses_token_types}
            (fresh / "about.json").write_text(json.dumps(about), encoding="utf-8")
            try:
                fresh.replace(folder)
            except OSError:
                if not (folder / "about.json").is_file():
                    raise

    @classmethod
    def load(cls, folder: Path) -> EncodedPairs:
        """Open what `save` wrote; the arrays stay on disk and are mapped, so that the trials of a sweep share them."""
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        arrays = {
            name: np.load(folder / f"{name}.npy", mmap_mode="r")
            for name in ("input_ids", "offsets", "completion_start")
        }
        template: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in about["template"].items()
        }
        return cls(
            **arrays, template=PairTemplate(**template), pad=about["pad"], uses_token_types=about["uses_token_types"]
        )
