from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nines.models.encoded_pairs import EncodedPairs, PairTemplate

TEMPLATE = PairTemplate(before=(101,), between=(102,), after=(102,), prompt_type=0, completion_type=1)


def build(sizes: list[tuple[int, int]]) -> EncodedPairs:
    """Rows of (prompt tokens, completion tokens), numbered so that each token tells where it came from."""
    rows, starts = [], []
    for row, (prompt, completion) in enumerate(sizes):
        rows.append(
            [
                101,
                *(1000 * row + i for i in range(prompt)),
                102,
                *(1000 * row + 500 + i for i in range(completion)),
                102,
            ]
        )
        starts.append(prompt + 2)
    flat = np.array([token for row in rows for token in row], dtype=np.int32)
    offsets = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    return EncodedPairs(flat, offsets, np.array(starts, dtype=np.int32), TEMPLATE, 7, uses_token_types=True)


def test_a_batch_is_padded_to_its_longest_row_only() -> None:
    batch = build([(2, 1), (9, 9), (1, 3)]).collate([2, 0])
    assert batch["input_ids"].tolist() == [[101, 2000, 102, 2500, 2501, 2502, 102], [101, 0, 1, 102, 500, 102, 7]]
    assert batch["attention_mask"].tolist() == [[True] * 7, [True] * 6 + [False]]
    assert batch["completion_mask"].tolist() == [
        [False, False, False, True, True, True, False],
        [False, False, False, False, True, False, False],
    ]
    assert batch["token_type_ids"].tolist() == [[0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1, 0]]
    assert batch["input_ids"].dtype == torch.int64


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(1, 12)), min_size=1, max_size=8),
    st.data(),
)
def test_every_token_of_a_row_arrives_once_and_nothing_else(sizes: list[tuple[int, int]], data: st.DataObject) -> None:
    pairs = build(sizes)
    rows = data.draw(st.lists(st.integers(0, len(sizes) - 1), min_size=1, max_size=6))
    batch = pairs.collate(rows)
    for position, row in enumerate(rows):
        own = pairs.input_ids[pairs.offsets[row] : pairs.offsets[row + 1]]
        mask = batch["attention_mask"][position]
        assert batch["input_ids"][position][mask].tolist() == own.tolist()
        assert (batch["input_ids"][position][~mask] == pairs.pad).all()
        assert int(batch["completion_mask"][position].sum()) == sizes[row][1]


def test_saved_pairs_come_back_equal_and_mapped_from_disk(tmp_path: Path) -> None:
    pairs = build([(2, 1), (3, 4)])
    pairs.save(tmp_path / "kept")
    again = EncodedPairs.load(tmp_path / "kept")
    assert isinstance(again.input_ids, np.memmap)
    assert again.fingerprint == pairs.fingerprint
    assert again.template == pairs.template
    assert again.collate([1])["input_ids"].tolist() == pairs.collate([1])["input_ids"].tolist()


def test_the_second_of_two_writers_changes_nothing(tmp_path: Path) -> None:
    build([(2, 1)]).save(tmp_path / "kept")
    build([(2, 1)]).save(tmp_path / "kept")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert len(EncodedPairs.load(tmp_path / "kept")) == 1


@pytest.mark.parametrize("other", [[(2, 1), (3, 5)], [(3, 4), (2, 1)], [(2, 1)]])
def test_other_content_or_order_has_another_fingerprint(other: list[tuple[int, int]]) -> None:
    assert build(other).fingerprint != build([(2, 1), (3, 4)]).fingerprint
