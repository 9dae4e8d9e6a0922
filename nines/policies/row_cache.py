"""Keys and values of many completions in progress: rows of one buffer, each as long as its own text.

Column j of a row is its token j, so a row that is freed takes another prompt without moving anything else, and a step
reads as many columns as the longest row has. transformers' DynamicCache copies all keys and values at each step, and
pads every row to the same length.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from nines.errors import CapabilityError


class RowCache:
    """Room for `rows` completions of at most `capacity` tokens each.

    Active rows are the first `active` ones.

    Args:
        rows: How many completions at most.
        capacity: Tokens of the longest, its prompt included.
        like: Keys or values of one prompt, shape (layers, heads, tokens, width): gives sizes, precision and device.
    """

    def __init__(self, *, rows: int, capacity: int, like: Tensor) -> None:
        layers, heads, _, width = like.shape
        options: dict[str, Any] = {"dtype": like.dtype, "device": like.device}
        # Zeros, since what a row does not see must not be nan: it is multiplied by zero.
        self.values = torch.zeros((layers, rows, heads, capacity, width), **options)
        # Tokens last: the product with queries reads keys three times as fast so.
        self.keys = torch.zeros((layers, rows, heads, width, capacity), **options)
        self.capacity = capacity
        self.lengths = torch.zeros(rows, dtype=torch.long, device=like.device)
        self.active = 0

    def suits(self, keys: Tensor) -> bool:
        """Whether keys of a prompt are of the precision and on the device that this has room for."""
        return keys.dtype == self.keys.dtype and keys.device == self.keys.device

    def add(self, keys: Tensor, values: Tensor, *, count: int = 1) -> None:
        """Let `count` new rows begin with a prompt's keys and values, shape (layers, heads, tokens, width)."""
        tokens = keys.shape[2]
        rows = slice(self.active, self.active + count)
        self.keys[:, rows, :, :, :tokens] = keys.transpose(-1, -2)[:, None]
        self.values[:, rows, :, :tokens] = values[:, None]
        self.lengths[rows] = tokens
        self.active += count

    def remove(self, row: int) -> None:
        """Free an active row; the last active one takes its place."""
        last = self.active - 1
        if row != last:
            tokens = int(self.lengths[last])
            self.keys[:, row, :, :, :tokens] = self.keys[:, last, :, :, :tokens]
            self.values[:, row, :, :tokens] = self.values[:, last, :, :tokens]
            self.lengths[row] = self.lengths[last]
        self.active = last

    def step(self) -> tuple[Cache, Tensor, Tensor]:
        """What one step over all active rows needs: their cache, mask (rows, columns) and positions (rows, 1).

        The cache writes each row's new token behind its last one; call `grow` after the pass.
        """
        lengths = self.lengths[: self.active]
        columns = int(lengths.max()) + 1
        place = (torch.arange(self.active, device=lengths.device), lengths)
        layers = [_RowLayer(keys, values, place, columns) for keys, values in zip(self.keys, self.values, strict=True)]
        mask = torch.arange(columns, device=lengths.device) <= lengths[:, None]
        return Cache(layers=list(layers)), mask.long(), lengths[:, None]

    def grow(self) -> None:
        """Count the token that a step has written to each active row."""
        self.lengths[: self.active] += 1


class _RowLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """One layer's view of the rows during one step."""

    keys: Tensor
    values: Tensor

    def __init__(self, keys: Tensor, values: Tensor, place: tuple[Tensor, Tensor], columns: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.keys, self.values = keys, values
        self.is_initialized = True
        self._place, self._columns = place, columns

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        *args: Any,  # noqa: ARG002  the signature is that of transformers
        **kwargs: Any,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor]:
        rows, columns = self._place
        self.keys[rows, :, :, columns] = key_states[:, :, 0]
        self.values[rows, :, columns] = value_states[:, :, 0]
        keys = self.keys[: len(rows), :, :, : self._columns].transpose(-1, -2)
        return keys, self.values[: len(rows), :, : self._columns]

    def get_seq_length(self) -> int:
        return self._columns - 1

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:  # noqa: ARG002
        return self._columns, 0


def stacked_layers(cache: Cache) -> tuple[Tensor, Tensor]:
    """Keys and values of a cache that a model has filled, each of shape (layers, rows, heads, tokens, width).

    Raises:
        CapabilityError: Layers differ in shape, or some keep no keys and values: not a plain attention model.
    """
    keys = [getattr(layer, "keys", None) for layer in cache.layers]
    values = [getattr(layer, "values", None) for layer in cache.layers]
    shapes = {None if tensor is None else tensor.shape for tensor in (*keys, *values)}
    if len(shapes) != 1 or None in shapes:
        raise CapabilityError(
            "this sampler needs a model whose layers all attend with keys and values of one shape; this one has others"
        )
    return torch.stack(keys), torch.stack(values)  # type: ignore[arg-type]  # None was refused above
