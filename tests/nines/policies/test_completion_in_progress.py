import math

import numpy as np
import pytest

from nines.policies.completion_in_progress import CompletionInProgress, TextRules
from nines.policies.options import SamplingOptions

PIECES = ("<end>", " He", " ran", ".", " She", " fell", "!", '"', " home")


class Pieces:
    """A tokenizer of a few pieces."""

    def decode(self, tokens: list[int], **_: object) -> str:
        return "".join(PIECES[token] for token in tokens if token != 0)


def drawn(words: list[str], **options: object) -> tuple[CompletionInProgress, list[bool]]:
    settings = SamplingOptions(**{"max_new_tokens": 8, "shortest_sentence": 0, **options})  # type: ignore[arg-type]
    rules = TextRules(Pieces(), settings, end_tokens=frozenset({0}))
    one = CompletionInProgress(prompt=0, index=2, uniforms=np.linspace(0, 0.7, 8), rules=rules)
    return one, [one.append(PIECES.index(word), math.log(0.5)) for word in words]


def test_the_next_sentence_confirms_the_end_and_is_left_out() -> None:
    one, over = drawn([" He", " ran", ".", " She"])
    assert over == [False, False, False, True]
    attempt = one.attempt
    assert attempt.text == "He ran."
    assert attempt.tokens == (1, 2, 3)
    assert attempt.log_prob == pytest.approx(3 * math.log(0.5))
    assert attempt.drawn_tokens == 4
    assert attempt.finished
    assert attempt.index == 2


def test_a_closing_quote_belongs_to_its_sentence() -> None:
    one, over = drawn([" He", " ran", ".", '"', " She"])
    assert over[-1]
    assert one.attempt.text == 'He ran."'


def test_the_models_end_token_ends_and_is_kept() -> None:
    one, over = drawn([" He", " ran", "<end>"])
    assert over == [False, False, True]
    assert one.attempt.text == "He ran"
    assert one.attempt.tokens == (1, 2, 0)
    assert one.attempt.finished


def test_the_limit_cuts_what_has_no_end() -> None:
    one, over = drawn([" He", " ran", " home"], max_new_tokens=3)
    assert over[-1]
    assert not one.attempt.finished
    assert one.attempt.text == "He ran home"


def test_an_end_in_the_last_token_counts_as_one() -> None:
    one, over = drawn([" He", " ran", "."], max_new_tokens=3)
    assert over[-1]
    assert one.attempt.finished


def test_without_sentence_ends_it_goes_on() -> None:
    _, over = drawn([" He", " ran", ".", " She", " fell"], stop_at_sentence_end=False)
    assert not any(over)


def test_each_token_has_a_uniform_number_of_its_own() -> None:
    one, _ = drawn([" He", " ran"])
    assert one.next_uniform == pytest.approx(0.2)
