import numpy as np
import pytest
from transformers import AutoTokenizer

from nines.errors import DataError, WeightsError
from nines.models.pairs import PairTokenizer
from nines.models.weights import EMBEDDED_SOURCE, resolve

PAIRS = [
    ("The road was dark. A car turned over.", "She screamed, and blood ran over her face."),
    ("The road was dark. A car turned over.", "Nothing was broken."),
    ("He laughed.", "His dog laughed, too, for a long while, and then they walked home over the hill."),
]


def _available(source: str) -> bool:
    try:
        resolve(source)
    except WeightsError:
        return False
    return True


needs_minilm = pytest.mark.skipif(not _available(EMBEDDED_SOURCE), reason="the embedded encoder cannot be fetched here")


@pytest.mark.parametrize(
    "source", ["tiny:bert", "tiny:deberta", "tiny:modernbert", pytest.param(EMBEDDED_SOURCE, marks=needs_minilm)]
)
def test_pairs_become_what_the_models_own_tokenizer_makes_of_them(source: str) -> None:
    encoded = PairTokenizer(source, max_tokens=256).encode(PAIRS)
    reference = AutoTokenizer.from_pretrained(resolve(source))
    batch = encoded.collate([0, 1, 2])
    expected = reference(
        *map(list, zip(*PAIRS, strict=True)), padding=True, return_tensors="pt", return_token_type_ids=True
    )
    assert batch["input_ids"].tolist() == expected["input_ids"].tolist()
    assert batch["attention_mask"].long().tolist() == expected["attention_mask"].tolist()
    if "token_type_ids" in batch:
        assert batch["token_type_ids"].tolist() == expected["token_type_ids"].tolist()
    for row, (_, completion) in enumerate(PAIRS):
        marked = batch["input_ids"][row][batch["completion_mask"][row]].tolist()
        assert marked == reference(completion, add_special_tokens=False)["input_ids"]


def test_where_no_special_token_separates_them_prompt_and_completion_are_running_text() -> None:
    encoded = PairTokenizer("tiny:llama", max_tokens=256).encode(PAIRS)
    reference = AutoTokenizer.from_pretrained(resolve("tiny:llama"))
    for row, (prompt, completion) in enumerate(PAIRS):
        batch = encoded.collate([row])
        assert reference.decode(batch["input_ids"][0]) == f"{prompt} {completion}"
        assert reference.decode(batch["input_ids"][0][batch["completion_mask"][0]]) == f" {completion}"


def test_only_models_with_token_types_get_them() -> None:
    assert "token_type_ids" in PairTokenizer("tiny:bert").encode(PAIRS).collate([0])
    assert "token_type_ids" not in PairTokenizer("tiny:deberta").encode(PAIRS).collate([0])
    assert "token_type_ids" not in PairTokenizer("tiny:modernbert").encode(PAIRS).collate([0])


def test_a_long_prompt_loses_its_start_and_the_completion_stays_whole() -> None:
    prompt = "the man saw the house and the woman heard the dog while the night fell over the water"
    completion = "he fell over the dog"
    tokenizer = PairTokenizer("tiny:bert", max_tokens=14)
    encoded = tokenizer.encode([(prompt, completion)])
    reference = AutoTokenizer.from_pretrained(resolve("tiny:bert"))
    words = reference.convert_ids_to_tokens(encoded.input_ids.tolist())
    assert len(words) == 14
    assert words == ["[CLS]", *prompt.split()[-6:], "[SEP]", *completion.split(), "[SEP]"]


def test_a_completion_that_fills_all_the_room_leaves_no_prompt() -> None:
    encoded = PairTokenizer("tiny:bert", max_tokens=8).encode([("the man saw", "he fell over the dog")])
    assert encoded.lengths.tolist() == [8]
    assert encoded.completion_start.tolist() == [2]


def test_completions_that_are_too_long_are_all_named_by_row() -> None:
    long = " ".join(["blood"] * 20)
    with pytest.raises(DataError, match="max_tokens=16 leaves them 13 tokens") as caught:
        PairTokenizer("tiny:bert", max_tokens=16).encode([("a", "he fell"), ("b", long), ("c", long)])
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["row 1", "row 2"]


@pytest.mark.parametrize(("tokens", "said"), [(4, "at least 8"), (4096, "at most 512")])
def test_a_length_that_the_model_cannot_have_is_refused(tokens: int, said: str) -> None:
    with pytest.raises(DataError, match=said):
        PairTokenizer("tiny:bert", max_tokens=tokens)


def test_the_fingerprint_covers_tokenizer_and_length() -> None:
    first = PairTokenizer("tiny:bert", max_tokens=64).fingerprint
    assert first == PairTokenizer("tiny:bert", max_tokens=64).fingerprint
    assert first != PairTokenizer("tiny:bert", max_tokens=65).fingerprint
    assert first != PairTokenizer("tiny:deberta", max_tokens=64).fingerprint


def test_progress_ends_at_the_whole() -> None:
    seen: list[tuple[int, int]] = []
    PairTokenizer("tiny:bert").encode(PAIRS, progress=lambda *step: seen.append(step))
    assert seen[-1] == (5, 5), "two prompts, of which one comes twice, and three completions"


def test_no_pairs_encode_to_no_rows() -> None:
    encoded = PairTokenizer("tiny:bert").encode([])
    assert len(encoded) == 0
    assert encoded.offsets.tolist() == [0]
    assert encoded.input_ids.dtype == np.int32
