import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from datamodules.tokenised import content_key, tokenise
from nines.errors import DataError, StorageError
from nines.models.pairs import EncodedPairs, PairTokenizer

PAIRS = [("He ran up the road.", "He fell."), ("She sat.", "Nothing happened at all."), ("He ran.", "He fell.")]


class CountingTokenizer(PairTokenizer):
    """Counts how often it is asked for tokens."""

    calls = 0

    def encode(self, pairs: Sequence[tuple[str, str]], **options: object) -> EncodedPairs:
        self.calls += 1
        return super().encode(pairs, **options)  # type: ignore[arg-type]


@pytest.fixture
def tokenizer() -> CountingTokenizer:
    return CountingTokenizer("tiny:bert", max_tokens=32)


def same(one: EncodedPairs, other: EncodedPairs) -> bool:
    return one.fingerprint == other.fingerprint


def test_tokens_from_the_cache_equal_those_that_the_tokenizer_makes(
    tokenizer: CountingTokenizer, tmp_path: Path
) -> None:
    made, found = (tokenise(PAIRS, tokenizer, folder=tmp_path) for _ in range(2))
    assert tokenizer.calls == 1
    assert same(made, tokenizer.encode(PAIRS))
    assert same(found, made)


def test_tokens_are_mapped_from_disk_so_that_trials_share_them(tokenizer: CountingTokenizer, tmp_path: Path) -> None:
    assert isinstance(tokenise(PAIRS, tokenizer, folder=tmp_path).input_ids, np.memmap)


def test_other_texts_order_limit_or_tokenizer_have_other_keys(tokenizer: CountingTokenizer) -> None:
    keys = [
        content_key(PAIRS, tokenizer.fingerprint),
        content_key(PAIRS[::-1], tokenizer.fingerprint),
        content_key(PAIRS[:2], tokenizer.fingerprint),
        content_key([(prompt + "H", completion[1:]) for prompt, completion in PAIRS], tokenizer.fingerprint),
        content_key(PAIRS, PairTokenizer("tiny:bert", max_tokens=31).fingerprint),
        content_key(PAIRS, PairTokenizer("tiny:modernbert", max_tokens=32).fingerprint),
    ]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("damage", ["cut", "removed", "emptied"])
def test_damaged_tokens_are_made_again(damage: str, tokenizer: CountingTokenizer, tmp_path: Path) -> None:
    expected = tokenise(PAIRS, tokenizer, folder=tmp_path).fingerprint  # before the file under the mapping changes
    folder = tmp_path / content_key(PAIRS, tokenizer.fingerprint)
    victim = folder / "input_ids.npy"
    if damage == "cut":
        victim.write_bytes(victim.read_bytes()[:-8])
    elif damage == "removed":
        victim.unlink()
    else:
        (folder / "about.json").write_text("{}")
    assert tokenise(PAIRS, tokenizer, folder=tmp_path).fingerprint == expected
    assert tokenizer.calls == 2
    assert EncodedPairs.load(folder).fingerprint == expected


def test_of_several_that_ask_at_once_one_makes_the_tokens(tokenizer: CountingTokenizer, tmp_path: Path) -> None:
    together = threading.Barrier(4)

    def ask() -> None:
        together.wait()
        tokenise(PAIRS, tokenizer, folder=tmp_path)

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert tokenizer.calls == 1


def test_a_completion_that_does_not_fit_leaves_nothing_in_the_cache(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="row 0"):
        tokenise([("He ran.", "word " * 40)], PairTokenizer("tiny:bert", max_tokens=16), folder=tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == []


def test_a_cache_that_cannot_be_written_is_one_line(tokenizer: CountingTokenizer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="NINES_CACHE"):
        tokenise(PAIRS, tokenizer, folder=tmp_path / "file" / "below")
