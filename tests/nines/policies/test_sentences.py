import json
from importlib.resources import files

import pytest

from nines.policies.sentences import first_sentence_end, may_end_sentence

CUTS = [
    ("She fell. He ran.", "She fell."),
    (' "Run!" she said. Then', ' "Run!" she said.'),
    ('He said, "Run." Then', 'He said, "Run."'),
    ("“Is it?” He ran.", "“Is it?”"),
    ("Mr. Botha met Dr. Lind. They", "Mr. Botha met Dr. Lind."),
    ("J. M. Barclay fell. He", "J. M. Barclay fell."),
    ("It was I. He", "It was I."),
    ("It cost 3.50 in all. He", "It cost 3.50 in all."),
    ("Well... maybe. He", "Well... maybe."),
    ("Well... Maybe.", "Well..."),
    ("He stopped…\nthen", "He stopped…"),
    ("(It was late.) He", "(It was late.)"),
    ("What?! No.", "What?!"),
    ("Bring food, e.g. Bread, and go. He", "Bring food, e.g. Bread, and go."),
    ("He died.\n\nshe", "He died."),
]


@pytest.mark.parametrize(("text", "expected"), CUTS)
def test_the_cut_is_behind_the_first_sentence_and_its_quotes(text: str, expected: str) -> None:
    assert text[: first_sentence_end(text, complete=True)] == expected
    assert text[: first_sentence_end(text, complete=False)] == (expected if text != expected else text)


@pytest.mark.parametrize(("text", "expected"), CUTS)
def test_a_growing_text_is_never_cut_elsewhere(text: str, expected: str) -> None:
    ends = [first_sentence_end(text[:length], complete=False) for length in range(len(text) + 1)]
    assert {end for end in ends if end is not None} <= {len(expected)}


def test_without_a_confirmed_end_there_is_none() -> None:
    for text in ("She fell", "", "   ", "Mr. ", "3.", "She fell.", "She fell. ", 'She fell."'):
        assert first_sentence_end(text, complete=False) is None
    assert first_sentence_end("She fell. ", complete=True) == 9
    assert first_sentence_end("She fell", complete=True) is None


def test_a_sentence_that_is_too_short_goes_on_to_the_next_end() -> None:
    text = " No. It was not hers. He"
    assert text[: first_sentence_end(text, complete=False, shortest=13)] == " No. It was not hers."


def test_pieces_that_cannot_end_a_sentence_need_no_look() -> None:
    assert all(may_end_sentence(piece) for piece in (".", '!"', "…", "\ufffd"))
    assert not any(may_end_sentence(piece) for piece in (" she", "", '"', ","))


def test_the_generated_completions_of_the_data_are_one_sentence_by_this_rule() -> None:
    lines = (files("datamodules.embedded") / "injury" / "labelled" / "test.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in lines.splitlines()]
    completions = [row["completion"] for row in rows if row["source"] == "generated"]
    whole = [first_sentence_end(text, complete=True, shortest=13) == len(text) for text in completions]
    assert sum(whole) / len(whole) > 0.97
