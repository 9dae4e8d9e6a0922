import pytest
import torch
from transformers.cache_utils import DynamicCache

from nines.errors import CapabilityError
from nines.policies.row_cache import RowCache, stacked_layers


def numbered(tokens: int, *, start: int) -> torch.Tensor:
    """(layers 1, heads 1, tokens, width 2), each token's values its own number."""
    return torch.arange(start, start + tokens).float()[None, None, :, None].expand(1, 1, tokens, 2).clone()


def test_rows_begin_with_their_prompt_and_a_freed_one_is_filled_by_the_last() -> None:
    cache = RowCache(rows=3, capacity=5, like=numbered(1, start=0))
    cache.add(numbered(2, start=10), numbered(2, start=10), count=2)
    cache.add(numbered(3, start=20), numbered(3, start=20))
    assert cache.active == 3
    assert cache.lengths.tolist() == [2, 2, 3]
    cache.remove(0)
    assert cache.active == 2
    assert cache.lengths[:2].tolist() == [3, 2]
    assert cache.values[0, 0, 0, :3, 0].tolist() == [20, 21, 22]
    assert cache.keys[0, 0, 0, 0, :3].tolist() == [20, 21, 22]


def test_a_step_shows_each_row_its_own_tokens_and_writes_the_new_one_behind_them() -> None:
    cache = RowCache(rows=2, capacity=5, like=numbered(1, start=0))
    cache.add(numbered(1, start=10), numbered(1, start=10))
    cache.add(numbered(3, start=20), numbered(3, start=20))
    layers, mask, positions = cache.step()
    assert mask.tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]
    assert positions.tolist() == [[1], [3]]
    new = torch.full((2, 1, 1, 2), 99.0)
    keys, values = layers.layers[0].update(new, new)
    assert keys.shape == values.shape == (2, 1, 4, 2)
    assert keys[0, 0, :2, 0].tolist() == [10, 99]
    assert values[1, 0, :, 0].tolist() == [20, 21, 22, 99]
    cache.grow()
    assert cache.lengths.tolist() == [2, 4]


def test_precision_decides_whether_keys_suit() -> None:
    cache = RowCache(rows=1, capacity=2, like=numbered(1, start=0))
    assert cache.suits(numbered(1, start=0))
    assert not cache.suits(numbered(1, start=0).bfloat16())


def test_layers_of_unequal_shape_are_refused() -> None:
    cache = DynamicCache()
    cache.update(torch.zeros(1, 1, 2, 4), torch.zeros(1, 1, 2, 4), 0)
    assert stacked_layers(cache)[0].shape == (1, 1, 1, 2, 4)
    cache.update(torch.zeros(1, 2, 2, 4), torch.zeros(1, 2, 2, 4), 1)
    with pytest.raises(CapabilityError, match="one shape"):
        stacked_layers(cache)
