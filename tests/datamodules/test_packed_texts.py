from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from datamodules.packed_texts import TokenisedTexts, tokenise_stories
from datamodules.stories import Story
from nines.errors import DataError
from nines.models.causal_loading import load_tokenizer
from nines.models.weights import resolve


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return load_tokenizer(resolve("tiny:llama"))


def texts_of(lengths: list[int], starts: list[int] | None = None) -> TokenisedTexts:
    """Text i holds the numbers 100 i + 1, 100 i + 2, …"""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    tokens = np.concatenate([100 * text + 1 + np.arange(length) for text, length in enumerate(lengths)])
    return TokenisedTexts(
        tokens=tokens.astype(np.int32),
        offsets=offsets,
        loss_start=np.array(starts or [1] * len(lengths), dtype=np.int64),
        source=np.arange(len(lengths), dtype=np.int64) % 2,
        sources=("a", "b"),
        pad=0,
    )


def test_a_completion_counts_from_its_first_token_to_the_end_token(tokenizer: Any) -> None:
    story = Story("She fell.", "They ran on.", "written")
    texts = tokenise_stories([story], tokenizer, max_tokens=64, loss_on="completion", pad=0)
    assert tokenizer.decode(texts.tokens) == "They ran on. She fell.<|end|>"
    assert tokenizer.decode(texts.tokens[texts.loss_start[0] :]) == " She fell.<|end|>"
    everything = tokenise_stories([story], tokenizer, max_tokens=64, loss_on="all", pad=0)
    assert everything.loss_start.tolist() == [1]
    endless = tokenise_stories([story], tokenizer, max_tokens=64, loss_on="completion", pad=0, end_token=False)
    assert tokenizer.decode(endless.tokens) == "They ran on. She fell."


def test_a_long_prompt_loses_its_start_and_a_long_completion_is_refused(tokenizer: Any) -> None:
    story = Story("She fell.", "Once upon a time. " * 10, "written")
    texts = tokenise_stories([story], tokenizer, max_tokens=20, loss_on="completion", pad=0)
    assert texts.lengths.tolist() == [20]
    assert tokenizer.decode(texts.tokens).endswith("time. She fell.<|end|>")
    with pytest.raises(DataError, match=r"completions are never cut.*\n.*She fell"):
        tokenise_stories([story], tokenizer, max_tokens=4, loss_on="completion", pad=0)


def test_a_long_story_is_cut_into_pieces_of_which_only_the_last_ends(tokenizer: Any) -> None:
    text = "The man and the dog ran out of the house. " * 8
    texts = tokenise_stories([Story(text, "", "own")], tokenizer, max_tokens=16, loss_on="completion", pad=0)
    assert len(texts) > 3
    assert texts.lengths[:-1].tolist() == [16] * (len(texts) - 1)
    assert tokenizer.decode(texts.tokens) == f"{text}<|end|>"
    assert set(texts.loss_start.tolist()) == {1}
    goes_on = tokenise_stories([Story(text, "", "own", ends=False)], tokenizer, max_tokens=16, loss_on="all", pad=0)
    assert tokenizer.decode(goes_on.tokens) == text


def test_each_text_has_its_row_unless_rows_are_packed() -> None:
    texts = texts_of([3, 5], starts=[1, 3])
    batch = texts.collate(np.array([0, 1]))
    assert batch["tokens"].tolist() == [[1, 2, 3, 0, 0], [101, 102, 103, 104, 105]]
    assert batch["mask"].int().tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert batch["loss_mask"].int().tolist() == [[0, 1, 1, 0, 0], [0, 0, 0, 1, 1]]
    assert batch["source"][1].tolist() == [1] * 5


def test_packed_rows_hold_every_text_once_within_their_room_and_never_count_a_first_token() -> None:
    lengths = [3, 9, 2, 7, 5, 10, 4]
    texts = texts_of(lengths)
    batch = texts.collate(np.arange(7), packed_tokens=12)
    assert batch["tokens"].shape == (4, 12)  # 40 tokens need four rows of twelve
    found = sorted(int(token) for token in batch["tokens"][batch["mask"]])
    assert found == sorted(texts.tokens.tolist())
    for row, documents in zip(batch["tokens"], batch["documents"], strict=True):
        for document in set(documents.tolist()) - {0}:
            text = row[documents == document]
            assert text.tolist() == [int(text[0]) + step for step in range(len(text))]
            assert len(text) == lengths[int(text[0]) // 100]
    firsts = batch["tokens"] % 100 == 1
    assert not batch["loss_mask"][firsts].any()
    assert int(batch["loss_mask"].sum()) == int(texts.loss_tokens.sum())
